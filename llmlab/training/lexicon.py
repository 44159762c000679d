"""Plain word lists, written for this project, from which stories and tasks are generated."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GIRLS = _words(
    "Lily Mia Anna Sara Emma Lucy Zoe Ella Nora Ruby Rosa Amy Jane Kate Molly Daisy Grace Ivy Maya Tina Nina Eva "
    "Clara Hana Leila Priya Amina Sophie Alice Betty"
)
BOYS = _words(
    "Tom Ben Max Tim Sam Leo Jack Finn Noah Omar Hugo Adam Luke Ravi Nico Paul Bob Mark Dan Oscar Theo Peter Jim "
    "Kofi Anton Felix Henry Joe Eric Will"
)
COLOURS = _words("red blue green yellow black white brown pink purple orange grey golden silver")
SIZES = _words("big small tiny huge little long short round old new shiny soft")
ANIMALS = _words(
    "dog cat bird fish horse cow pig duck hen goat sheep rabbit mouse fox wolf bear lion tiger frog snake turtle "
    "monkey elephant bee ant spider owl deer donkey goose whale shark zebra camel kitten puppy crab snail squirrel"
)
FOODS = _words(
    "bread cake apple cheese soup rice egg honey banana cookie pie butter pear jam carrot potato salad plum lemon "
    "grape cherry sandwich pizza milk tea juice porridge tomato onion peach nut sugar meat corn pancake"
)
TOYS = _words("ball doll kite drum car boat book hat box key cup bell lamp ring bag coat shoe spoon rope balloon")
PLACES = _words(
    "park garden kitchen forest school farm river beach house barn shop market field castle village hill cave "
    "library bridge lake"
)
FEELINGS = _words("happy sad angry scared proud tired sleepy excited lonely surprised worried calm")

GROUPS: dict[str, tuple[str, ...]] = {
    "animal": ANIMALS,
    "food": FOODS,
    "colour": COLOURS,
    "toy": _words("ball doll kite drum puzzle balloon teddy marble blocks puppet swing slide skateboard robot top"),
    "place": PLACES,
    "feeling": FEELINGS,
    "body": _words("hand foot arm leg head nose eye ear mouth finger knee hair tooth face neck back toe tongue chin"),
    "clothes": _words("hat coat shoe dress shirt sock scarf glove cap boot belt skirt jacket apron ribbon trousers"),
    "family": _words("mother father sister brother aunt uncle cousin baby grandma grandpa mom dad son daughter"),
    "weather": _words("rain snow wind sun storm cloud fog ice thunder lightning frost hail sunshine rainbow"),
    "furniture": _words("table chair bed sofa desk shelf lamp cupboard bench stool drawer mirror carpet curtain"),
    "vehicle": _words("car bus train boat ship plane bike truck cart wagon taxi rocket tractor van sled"),
    "plant": _words("tree flower grass rose bush leaf seed root oak pine daisy branch moss vine clover weed"),
    "number": _words("one two three four five six seven eight nine ten twelve twenty hundred thousand eleven"),
    "tool": _words("hammer saw axe nail knife rope shovel spade broom needle bucket ladder brush scissors rake"),
    "job": _words("doctor teacher farmer baker nurse king queen soldier sailor cook fisherman hunter miller tailor"),
    "drink": _words("milk tea water juice coffee lemonade cocoa wine soda beer"),
    "music": _words("drum flute song piano violin guitar bell trumpet harp whistle fiddle horn"),
    "day": _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    "month": _words("January February March April May June July August September October November December"),
    "girl": GIRLS,
    "boy": BOYS,
    "movement": _words("run walk jump swim fly climb crawl dance hop skip march slide roll gallop creep"),
    "sound": _words("bark meow roar buzz sing shout whisper laugh cry whistle growl squeak scream hum"),
    "size": _words("big small tiny huge little long short tall wide narrow large thick thin giant"),
    "good": _words("kind nice good lovely brave gentle friendly wonderful honest clever polite happy beautiful great"),
    "bad": _words("mean nasty bad ugly cruel rude awful terrible evil greedy wicked lazy horrible selfish"),
    "water": _words("river lake sea ocean pond stream puddle waterfall well pool bay wave"),
    "sky": _words("sun moon star cloud planet rainbow comet sunrise sunset"),
    "time": _words("day night morning evening week month year hour minute today tomorrow yesterday noon"),
}
HELD_OUT_GROUPS = ("body", "vehicle", "furniture", "job", "weather", "plant")  # never used in training episodes

OPPOSITES = tuple(
    tuple(pair.split("/"))
    for pair in _words(
        "big/small hot/cold up/down happy/sad day/night old/new fast/slow open/closed wet/dry good/bad high/low "
        "long/short hard/soft light/dark full/empty early/late near/far left/right rich/poor strong/weak loud/quiet "
        "first/last clean/dirty young/old yes/no in/out boy/girl man/woman king/queen black/white"
    )
)
PLURALS = tuple(
    (word, word + "s")
    for word in _words(
        "dog cat bird horse cow pig duck hen goat rabbit bear lion tiger frog snake apple cake ball book hat cup ring "
        "bell key tree flower boat car hand eye ear king queen star cloud boy girl door chair table"
    )
)
PAST = tuple(
    tuple(pair.split("/"))
    for pair in _words(
        "go/went see/saw run/ran eat/ate come/came take/took give/gave say/said find/found make/made know/knew "
        "think/thought sit/sat stand/stood sing/sang swim/swam fall/fell fly/flew walk/walked play/played "
        "jump/jumped look/looked want/wanted help/helped cry/cried laugh/laughed open/opened call/called"
    )
)
BABY_ANIMALS = tuple(
    tuple(pair.split("/"))
    for pair in _words(
        "dog/puppy cat/kitten cow/calf horse/foal sheep/lamb hen/chick duck/duckling pig/piglet "
        "bear/cub goat/kid goose/gosling frog/tadpole"
    )
)

LIKED = _words("wonderful lovely great delicious beautiful fun nice amazing perfect sweet kind funny charming bright")
DISLIKED = _words("terrible awful boring ugly horrible dull bad nasty rude sad broken dirty slow weak silly poor")
THINGS_TO_JUDGE = _words(
    "film story book cake soup song game party trip hotel dress teacher phone show play garden dinner music toy movie"
)
LISTS: tuple[tuple[str, ...], ...] = (
    GROUPS["day"],
    GROUPS["month"],
    _words("one two three four five six seven eight nine ten eleven twelve"),
    _words("first second third fourth fifth sixth seventh eighth ninth tenth"),
    _words("spring summer autumn winter"),
    tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    tuple("abcdefghijklmnopqrstuvwxyz"),
)
