"""Publishing: what of a recipe's files goes out, under which names, with which words.

check_run_folder.py     the folder of a run, held against its own record and its verdicts
licences.py             whether the licence lets the files be passed on
gguf_naming.py          file names, by default those of the GGUF naming convention
run_documents.py        reports, provenance, recipe and lock, under the published names
ollama_modelfile.py     the Modelfile
split_files.py          files that are too large for one piece
model_facts.py          what the card says of the model, from the recipe and its source
model_card.py           the model card; model_tables.py: its tables and picture
chat_prompt.py          how a chat template writes a question, in a process of its own
assemble.py             everything that is published, by name
model_signature.py      the signature of all of it, as OpenSSF's model-signing has it
publication_record.py   what an earlier publication put there, and what has to change
destination*.py         a folder, a repository on the Hub, or a registry of OCI artifacts
display_publication.py  plans and results for people and programs
publish.py              all of it in order
"""
