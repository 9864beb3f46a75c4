"""Words of names that are not renamed, and the syllables that new names are made of."""

_SMALL = (
    "a an the and or nor but so yet if of in on at by to for from with without into onto over under up down out off "
    "as is was are were be been am do does did has have had not no i me my mine we us our ours you your yours he "
    "him his she her hers it its they them their theirs this that these those who whom whose which what when where "
    "why how all any some one two three four five six seven eight nine ten first second third there here then than "
    "too very can could will would shall should may might must about after before between during against through "
    "until while s t d ll re ve don doesn didn isn aren wasn weren couldn wouldn shouldn hasn haven hadn ain de la "
    "le les el los las di da dos du des del della der den das die und et e y von van zu vs st saint mr mrs ms dr "
    "sir lord lady jr sr "
)
_KEPT = (
    "january february march april may june july august september october november december monday tuesday wednesday "
    "thursday friday saturday sunday spring summer autumn fall winter north south east west northern southern "
    "eastern western central upper lower new old great grand big little high american british english scottish "
    "welsh irish french german italian spanish portuguese dutch belgian swiss austrian polish czech hungarian "
    "russian soviet ukrainian greek turkish swedish norwegian danish finnish icelandic canadian australian mexican "
    "brazilian argentine chinese japanese korean indian pakistani iranian iraqi israeli egyptian african asian "
    "european latin arab roman catholic protestant christian jewish muslim islamic buddhist hindu hebrew bengali "
    "tamil hindi united states kingdom republic democratic federal national international royal imperial state "
    "province county district city town village borough parish island islands river lake sea ocean bay mountain "
    "mountains mount hill hills valley park garden gardens forest bridge street road avenue square station airport "
    "port railway line university college school academy institute museum library church cathedral abbey castle "
    "palace house hall tower temple hospital hotel theatre theater stadium arena center centre building company "
    "corporation group association society organization organisation foundation federation union league club team "
    "party committee council commission court parliament congress senate ministry department office bureau agency "
    "service army navy air force forces fleet war battle revolution rebellion treaty act law bank film movie series "
    "season episode show album song single band orchestra choir opera symphony novel book story stories magazine "
    "newspaper journal press news times post records record music musical dance art arts science sciences sports "
    "sport football soccer basketball baseball hockey cricket rugby tennis golf racing championship championships "
    "cup tournament games game olympic olympics world global award awards prize medal order king queen prince "
    "princess emperor empress duke duchess earl count countess baron baroness pope bishop archbishop president "
    "minister prime chief governor mayor senator secretary general admiral captain colonel major officer director "
    "manager head chairman professor doctor actor actress singer writer author poet player man men woman women boy "
    "girl child children people family father mother son daughter brother sister wife husband day night year years "
    "time life love death black white red blue green yellow golden silver list history culture language television "
    "radio network channel entertainment pictures productions studios media base squadron regiment division brigade "
    "battalion corps justice ballet festival project program programme system area region zone territory community "
    "market store restaurant beach cape peninsula canyon desert falls creek springs canal dam tunnel highway route "
    "airlines airways motors brothers sisters comics theory disease syndrome dynasty "
)

SMALL = frozenset(_SMALL.split())
"""They carry no name: articles, pronouns, prepositions, numbers, titles of address; also in other languages."""
KEPT = frozenset(_KEPT.split())
"""They say what a thing is, or are everybody's."""

STARTS = ("b", "br", "d", "dr", "f", "g", "gr", "h", "k", "kl", "l", "m", "n", "p", "pl", "r", "s", "sk", "st", "t",
           "tr", "v", "w", "z")  # fmt: skip
VOWELS = ("a", "e", "i", "o", "u", "ai", "ei", "au")
MIDDLES = ("b", "d", "g", "k", "l", "ld", "lm", "m", "n", "nd", "r", "rd", "rk", "s", "sk", "t", "v", "z")
ENDS = ("k", "l", "ld", "m", "n", "nd", "r", "rn", "s", "sk", "t", "th", "v", "x", "z")
