"""Publishing: what of a recipe's files goes out, under which names, with which words.

checked.py       the folder of a run, held against its own record and its verdicts
licences.py      whether the licence lets the files be passed on
naming.py        file names by the GGUF naming convention
chat.py          the chat templates of the file and of its source
ollama.py        the Modelfile
splitting.py     files that are too large for one piece
facts.py         what the card says of the model, from the recipe and its source
card.py          the model card
tree.py          everything that is published, by name
record.py        what an earlier publication put there, and what has to change
places.py        a folder, or a repository on the Hub
shown.py         plans and results for people and programs
publish.py       all of it in order
"""
