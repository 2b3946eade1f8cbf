"""Texts for the synthetic corpora: digit strings, command words, and sentences of a small grammar.

Each function draws one text from a ``random.Random``. The same state gives the same text. Lessons 05 and 09.
"""

import random
import re

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def digit_text(draw: random.Random) -> str:
    """Draw one to seven digit words. A comma after a word stands for a pause."""
    pause = draw.choice([0, 0, 0, 0.3, 0.3, 1])
    words = [draw.choice(DIGITS)]
    for _ in range(draw.randint(0, 6)):
        # repeated digits are the hard case, so draw them twice as often as by chance
        words.append(words[-1] if draw.random() < 0.11 else draw.choice(DIGITS))
    return " ".join(word + ("," if draw.random() < pause else "") for word in words)


COMMANDS = (
    "backward bed bird cat dog down eight five follow forward four go happy house learn left marvin nine no "
    "off on one right seven sheila six stop three tree two up visual wow yes zero"
).split()


def command_text(draw: random.Random) -> str:
    """Draw one of the 35 words of Speech Commands."""
    return draw.choice(COMMANDS)


# The grammar of ``sentences``: a word in braces stands for one of its alternatives, which bars separate.
_GRAMMAR = {
    "sentence": "{command}|{command}|{story}|{story}|{story}|{question}|{question}|{report}|{report}",
    "command": "please {act}|{act}|{act} please|could you {act}|{act} and then {act}|{name} please {act}",
    "act": "turn {onoff} the {device} in the {room}|turn {onoff} the {device}"
    "|set the {device} to {number} {unit}|open the {opening}|close the {opening} in the {room}"
    "|call {name} {when}|call my {relative}|send a message to {name}|play {music}"
    "|play some {style} music in the {room}|wake me up at {time}|set an alarm for {time}"
    "|remind me to {chore} {when}|add {food} and {food} to the shopping list|read me the news"
    "|book a table for {number} at {time}|find the nearest {place}|show me the way to the {place}"
    "|stop the music|count from {number} to {number}",
    "story": "the {adjective} {animal} {moved} {across} the {place}"
    "|{name} {moved} {across} the {adjective} {place}|{name} and {name} {moved} {across} the {place} {when}"
    "|my {relative} {made} {food} for {name} {when}|a {color} {animal} {watched} the {adjective} {animal}"
    "|{name} gave the {color} {thing} to my {relative}"
    "|when the {weather} came the {animal} {moved} {across} the {place}"
    "|the {relative} of {name} lost a {color} {thing} {across} the {place}"
    "|{number} {adjective} {thing}s were on the table in the {room}"
    "|nobody {watched} the {animal} {across} the {place}"
    "|i {watched} a {adjective} {animal} and {number} {color} {thing}s"
    "|they lived in a {adjective} {color} house near the {place}",
    "question": "what is the weather in {city} {when}|what time is it in {city}"
    "|who {watched} the {adjective} {animal}|where is the {color} {thing}|where did {name} {chore}"
    "|how far is it from {city} to {city}|how many {thing}s are there in the {room}"
    "|is there any {food} in the {room}|did {name} {chore} {when}|why is the {animal} so {adjective}"
    "|when does the train to {city} leave|can you {chore} {when}|do you like {food} with {food}"
    "|which {thing} is more {adjective} than the {color} one",
    "report": "the train from {city} to {city} leaves at {time}|the flight to {city} is {number} hours late"
    "|it is {number} degrees in {city} {when}|there will be {weather} in {city} {when}"
    "|the price of {food} went {updown} by {number} per cent"
    "|the {place} opens at {time} and closes at {time}|{name} scored {number} points against {city}"
    "|the road to {city} is closed because of {weather}"
    "|the number is {digit} {digit} {digit} {digit} {digit}|the meeting with {name} starts at {time}"
    "|a {adjective} {animal} was seen {across} the {place} in {city}"
    "|the {device} costs {number} hundred euros",
    "onoff": "on|off",
    "updown": "up|down",
    "device": "light|lamp|heater|television|radio|fan|oven|washing machine|computer|printer|camera"
    "|coffee machine",
    "room": "kitchen|bedroom|bathroom|living room|garage|hall|office|cellar|attic|nursery",
    "opening": "window|door|curtain|gate|drawer|box",
    "unit": "degrees|per cent|minutes|seconds",
    "name": "anna|peter|maria|john|susan|david|emma|george|helen|jack|laura|oliver|sarah|thomas|victoria"
    "|william",
    "relative": "mother|father|sister|brother|uncle|aunt|cousin|grandmother|grandfather|neighbour|friend"
    "|teacher",
    "when": "today|tomorrow|tonight|on monday|on tuesday|on wednesday|on thursday|on friday|on saturday"
    "|on sunday|next week|in the morning|in the afternoon|after lunch|before dinner|in {number} minutes"
    "|last summer",
    "music": "the next song|my favourite song|the piano concerto|some {style} music|the radio"
    "|something quiet",
    "style": "jazz|classical|folk|dance|rock|choir|piano|summer|old",
    "time": "{hour}|{hour} thirty|half past {hour}|quarter to {hour}|quarter past {hour}"
    "|{hour} in the morning|{hour} in the evening|noon|midnight",
    "hour": "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve",
    "digit": "zero|one|two|three|four|five|six|seven|eight|nine",
    "number": "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fifteen|twenty|twenty one"
    "|thirty two|forty|fifty six|sixty|seventy five|eighty|ninety nine",
    "chore": "water the flowers|feed the cat|wash the dishes|buy a ticket|clean the {room}"
    "|visit my {relative}|write a letter|repair the {device}|paint the {room}|bake a cake|walk the dog"
    "|pay the bill|bring the {thing}|meet {name}|study for the exam|take the medicine"
    "|sell the {color} {thing}",
    "food": "bread|butter|cheese|apples|oranges|tomatoes|potatoes|rice|soup|coffee|tea|milk|honey|chocolate"
    "|pepper|sugar|fish|chicken|salad|strawberries|onions|garlic",
    "place": "station|river|market|forest|bridge|mountain|garden|library|hospital|school|museum|harbour"
    "|village|church|castle|beach|lake|island|theatre|bakery|pharmacy|airport|square|valley|desert",
    "adjective": "old|young|quick|slow|small|large|quiet|loud|happy|sad|tired|hungry|brave|gentle|clever"
    "|lazy|strange|beautiful|heavy|bright|dark|warm|cold|famous|careful|wooden|empty|friendly|golden|curious",
    "color": "red|green|blue|yellow|black|white|brown|orange|purple|grey|silver|pink",
    "animal": "dog|cat|horse|fox|bear|bird|rabbit|mouse|lion|tiger|elephant|monkey|goat|sheep|wolf|snake"
    "|turtle|whale|eagle|squirrel|hedgehog|donkey|frog|spider",
    "moved": "walked|ran|jumped|swam|travelled|climbed|danced|wandered|rushed|sailed|followed the {animal}",
    "across": "across|around|through|behind|towards|beyond|over|near|beside|under",
    "made": "made|cooked|bought|ordered|carried|prepared|found|stole",
    "watched": "watched|heard|saw|remembered|painted|chased|discovered|admired|ignored|caught",
    "thing": "book|key|bottle|hat|letter|basket|bicycle|coat|umbrella|guitar|ball|clock|mirror|pencil|ring"
    "|ticket|candle|blanket|wallet|picture|chair|suitcase|button|spoon",
    "weather": "rain|snow|fog|thunder|wind|sunshine|a storm|heavy rain|frost|hail",
    "city": "london|paris|berlin|madrid|rome|vienna|dublin|boston|chicago|sydney|toronto|cairo|tokyo|moscow"
    "|lisbon|oslo|athens|warsaw|zurich|delhi",
}


def sentence_text(draw: random.Random) -> str:
    """Draw a sentence from the grammar."""

    def expand(symbol: str) -> str:
        line = draw.choice(_GRAMMAR[symbol].split("|"))
        return re.sub(r"\{(\w+)\}", lambda match: expand(match.group(1)), line)

    return expand("sentence")
