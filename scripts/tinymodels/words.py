"""The vocabulary and the sentence templates of the story grammar.

A template is English with slots in braces. Slots named in `STORY_SLOTS` mean one thing through a
whole story; every other slot is drawn anew for each sentence. `a` before a vowel becomes `an`
after filling. Every template ends in a full stop and holds no other one, so that a text can be
cut into sentences again.
"""

from __future__ import annotations

GIRLS = ("Anna", "Clara", "Emma", "Ida", "Lily", "Mia", "Nora", "Ruby", "Sara", "Tina")
BOYS = ("Adam", "Ben", "David", "Finn", "Hugo", "Jack", "Leo", "Max", "Oscar", "Tom")

# Each animal with the one food it likes: a fact that a trained model can be asked for.
FOODS = {
    "bear": "honey",
    "bird": "seeds",
    "cat": "milk",
    "cow": "grass",
    "dog": "meat",
    "duck": "bread",
    "fox": "grapes",
    "goat": "leaves",
    "hedgehog": "apples",
    "horse": "hay",
    "mouse": "cheese",
    "otter": "fish",
    "owl": "berries",
    "pig": "corn",
    "rabbit": "carrots",
    "squirrel": "nuts",
}

SLOTS: dict[str, tuple[str, ...]] = {
    "name": GIRLS + BOYS,
    "kind": ("girl", "boy"),
    "He": ("She", "He"),
    "he": ("she", "he"),
    "His": ("Her", "His"),
    "his": ("her", "his"),
    "him": ("her", "him"),
    "animal": tuple(FOODS),
    "food": tuple(FOODS.values()),
    "relative": ("aunt", "brother", "father", "grandmother", "mother", "sister", "uncle"),
    "toy": ("ball", "boat", "book", "doll", "drum", "kite", "lamp", "scarf", "train", "wagon"),
    "lost": ("bell", "blanket", "button", "hat", "key", "ribbon", "ring", "shell", "spoon"),
    "place": (
        "barn",
        "bridge",
        "farm",
        "field",
        "forest",
        "garden",
        "hill",
        "lake",
        "market",
        "meadow",
        "mill",
        "park",
        "river",
        "school",
        "village",
    ),
    "hideout": ("basket", "bench", "bush", "fence", "log", "rock", "stone", "tree", "wall"),
    "size": ("big", "little", "small", "tall", "tiny", "young"),
    "nature": ("brave", "clever", "curious", "gentle", "kind", "merry", "polite", "quiet"),
    "colour": ("black", "blue", "brown", "green", "grey", "orange", "red", "white", "yellow"),
    "look": ("beautiful", "clean", "cosy", "lovely", "old", "pretty", "warm", "wooden"),
    "glad": ("cheerful", "glad", "happy", "joyful", "pleased", "proud"),
    "sad": ("afraid", "angry", "lonely", "sad", "scared", "tired", "upset", "worried"),
    "play": ("climb", "dance", "dig", "hide", "jump", "paint", "read", "run", "sing", "swim"),
    "played": ("climbed", "danced", "jumped", "laughed", "played", "sang", "swam", "walked"),
    "daytime": ("afternoon", "day", "evening", "morning", "night"),
    "season": ("autumn", "spring", "summer", "winter"),
    "weather": ("cloudy", "cold", "foggy", "rainy", "snowy", "stormy", "sunny", "windy"),
    "softly": ("bravely", "gently", "happily", "loudly", "quickly", "quietly", "slowly", "softly"),
    "shelter": ("cave", "cottage", "hut", "kitchen", "shed", "stable"),
    "paw": ("ear", "foot", "leg", "nose", "tail"),
}

STORY_SLOTS = (
    "name",
    "kind",
    "He",
    "he",
    "His",
    "his",
    "him",
    "animal",
    "food",
    "relative",
    "toy",
    "lost",
    "paw",
)

OPENING = (
    "Once upon a time there was a {size} {kind} named {name}.",
    "There once was a {nature} {kind} called {name}.",
    "Long ago a {size} {kind} named {name} lived near the {place}.",
    "In a {look} house by the {place} lived a {nature} {kind} named {name}.",
)
HABIT = (
    "{He} lived with {his} {relative} in a {look} house.",
    "{He} had a {colour} {toy} and {he} liked it very much.",
    "{His} {relative} gave {him} a {look} {toy}.",
    "{name} liked to {play} in the {place} with {his} {relative}.",
    "Every {daytime} {he} played with {his} {toy} near the {place}.",
    "{He} liked to {play} and {play} when it was {weather}.",
)
MEETING = (
    "One {daytime} {he} met a {colour} {animal} in the {place}.",
    "One {weather} {daytime} {name} saw a {size} {animal} near the {place}.",
    "One day in {season} a {colour} {animal} came to the {place}.",
    "On a {weather} {daytime} {name} heard a {animal} behind the {hideout}.",
)
TALK = (
    '"Hello, {name}," said the {animal}.',
    '"Can you help me?" asked the {animal}.',
    '"Why are you so {sad}?" {name} asked {softly}.',
    '"Please do not be {sad}," said {name} {softly}.',
)
# A trouble and what helps against it.
LOST = (
    "The {animal} was {sad} because it had lost its {lost}.",
    "The {animal} could not find its {lost} and it was very {sad}.",
)
FOUND = (
    "{name} looked behind the {hideout} and found the {lost}.",
    "{He} looked for the {lost} in the {place} and found it under a {hideout}.",
    "They looked in the {place} and found the {lost} near the {hideout}.",
)
HUNGRY = (
    "The {animal} was hungry because it had no {food}.",
    "The {animal} wanted some {food}, but there was no food in the {place}.",
)
FED = (
    "{name} gave it some {food}.",
    "{He} asked {his} {relative} for {food} and gave it to the {animal}.",
    "{name} ran to the {place} and came back with a basket of {food}.",
)
HURT = (
    "The {animal} was {sad} because its {paw} hurt.",
    "The {animal} could not walk because it had hurt its {paw}.",
)
HEALED = (
    "{name} carried it to the {shelter} and washed its {paw}.",
    "{He} took the {animal} to {his} {relative} in the {shelter}.",
)
STORM = (
    "Then it was so {weather} that the {animal} was {sad}.",
    "But the {daytime} was {weather} and the {animal} had no home.",
)
SHELTERED = (
    "{name} took the {animal} to a {look} {shelter}.",
    "They ran to the {shelter} and waited there together.",
)
TROUBLES = ((LOST, FOUND), (HUNGRY, FED), (HURT, HEALED), (STORM, SHELTERED))
THANKS = (
    "The {animal} was very {glad} and thanked {him}.",
    '"Thank you, {name}," said the {animal} {softly}.',
    "Soon the {animal} was {glad} again.",
    "After that they {played} and {played} in the {place}.",
)
ENDING = (
    "{name} and the {animal} became good friends.",
    "{He} went home and told {his} {relative} about the {animal}.",
    "From that day on {name} and the {animal} {played} together every {daytime}.",
    "{name} was {glad} and {he} slept well that night.",
)

# Questions and answers of the chat variant; `food` is what FOODS says of `animal`.
CHAT = (
    ("Is {name} a girl or a boy?", "{name} is a {kind}."),
    ("What does a {animal} like to eat?", "A {animal} likes to eat {food}."),
    ("Who likes to eat {food}?", "The {animal} likes to eat {food}."),
    ("Tell me a story about a {kind} named {name} and a {animal}.", "{story}"),
)
