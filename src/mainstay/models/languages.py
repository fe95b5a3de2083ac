"""Which language a text is in that training did not hold: by the little words that every sentence of it needs.

Only words that training never held are looked at, so a word that two languages share speaks for neither, and a model
that was trained on several languages knows the words of all of them. Languages of a script of their own are told by
that (scripts.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

LEAST_WORDS = 4
"""A shorter text is of no language."""
LEAST_FOUND = 2
"""So many different little words must be there."""
LEAST_SHARE = 0.25
"""Of all words of the text."""

WORDS: Mapping[str, frozenset[str]] = {
    name: frozenset(words.split())
    for name, words in {
        "English": (
            "the and of to is are was were be been have has had do does did not you your my me we our they it "
            "this that these there what which who how why when where can could will would should from with for "
            "at by about"
        ),
        "German": (
            "der die das den dem des ein eine einen einem einer und oder aber nicht kein keine ich du er sie es "
            "wir ihr mein meine meinen meiner mich mir sich ist sind war wird werden wurde habe hat haben hatte "
            "kann können möchte muss für mit von bei nach aus auf zu zum zur im wie was wann warum wo wenn dass "
            "noch auch mehr bitte"
        ),
        "French": (
            "le la les un une des du de et ou mais ne pas je tu il elle nous vous ils mon ma mes votre vos "
            "notre ce cette ces est sont était été être ai avez avoir fait pour avec dans sur par sans que qui "
            "quoi comment pourquoi quand où peux puis très plus bien aussi voudrais"
        ),
        "Spanish": (
            "el la los las un una unos y o pero no yo tú usted mi mis su sus nuestro este esta esto es son está "
            "están fue ser he ha han tengo tiene hacer para con en por sin de del al que qué quién cómo cuándo "
            "dónde porqué puedo puede quiero muy más también cuando como se me te lo"
        ),
        "Italian": (
            "il lo la gli le un una uno e o ma non io tu lei noi voi mio mia miei mie suo questo questa è sono "
            "era essere ho ha hanno avere fare per con in da di del della dei alla al che chi cosa come perché "
            "quando dove posso può vorrei molto più anche si mi"
        ),
        "Portuguese": (
            "o a os as um uma e ou mas não eu você ele ela nós meu minha meus minhas seu sua este esta isto é "
            "são está foi ser tenho tem ter fazer para com em por sem de do da dos das no na ao que quem como "
            "quando onde porque posso pode quero muito mais também"
        ),
        "Dutch": (
            "de het een en of maar niet geen ik jij je hij zij wij jullie mijn uw ons dit dat deze die is zijn "
            "was waren wordt worden heb hebt heeft hebben kan kunnen wil moet voor met van bij naar uit op aan "
            "te hoe wat wanneer waarom waar ook nog meer graag"
        ),
        "Swedish": (
            "och eller men inte jag du han hon vi ni min mitt mina ditt det den detta är var blir har hade kan "
            "ska vill måste för med av på till från som hur vad när varför om också mer mycket ett en att"
        ),
        "Danish": (
            "og eller men ikke jeg du han hun vi mit min mine det den denne er var bliver har havde kan skal "
            "vil må for med af på til fra som hvordan hvad hvornår hvorfor hvor om også mere meget et en at"
        ),
        "Polish": (
            "i lub ale nie ja ty on ona my wy mój moja moje moją to ten ta jest są był była być mam ma mieć "
            "mogę może chcę dla z w na do od przez po jak co kiedy dlaczego gdzie się też bardzo więcej proszę "
            "czy że"
        ),
        "Czech": (
            "a nebo ale ne já ty on ona my vy můj moje moji to ten ta je jsou byl byla být mám má mít mohu může "
            "chci pro s v na do od přes po jak co kdy proč kde se také velmi více prosím že jsem"
        ),
        "Turkish": (
            "ve veya ama değil ben sen o biz siz benim bu şu bir mi mı mu var yok için ile gibi daha çok nasıl "
            "ne neden nerede zaman kadar olarak istiyorum lütfen da de"
        ),
        "Finnish": (
            "ja tai mutta ei minä sinä hän me te minun tämä se on ovat oli olla en voi voinko haluan kanssa "
            "miten mikä mitä milloin miksi missä myös enemmän kun että jos niin"
        ),
        "Indonesian": (
            "dan atau tetapi tidak saya anda dia kami kita ini itu adalah akan sudah bisa dapat untuk dengan "
            "dari di ke pada yang bagaimana apa kapan mengapa kenapa dimana juga lebih sangat ingin mau"
        ),
        "Vietnamese": (
            "và hoặc nhưng không tôi bạn anh chị của này đó là có được cho với từ trong đến như thế nào gì khi "
            "sao đâu cũng hơn rất muốn thể làm"
        ),
        "Hungarian": (
            "és vagy de nem én te ő mi ti az egy ez van vannak volt lesz hogy hogyan mit mi miért hol mikor is "
            "még nagyon szeretnék lehet kell a ha meg"
        ),
        "Romanian": (
            "și sau dar nu eu tu el ea noi voi meu mea mele acest această este sunt era fi am are avea pot "
            "poate vreau pentru cu în de la din pe cum ce când unde mai foarte să că"
        ),
    }.items()
}
"""Articles, pronouns, auxiliaries, prepositions and question words of languages in the Latin script, casefolded."""

_LANGUAGES: dict[str, tuple[str, ...]] = {
    word: tuple(name for name, own in WORDS.items() if word in own) for word in frozenset().union(*WORDS.values())
}
"""The other way round: most words of a text are looked up once and are none of them."""


def language_of(unseen: Iterable[str], words: int) -> str | None:
    """Return the language that a text seems to be in, None when too little speaks for one.

    `unseen` are its casefolded words that training never held, out of `words` in all. Of two languages the one with
    more of its little words is told, and none when they have the same number of them.
    """
    given = list(unseen)
    if words < LEAST_WORDS or len(given) < LEAST_FOUND:
        return None
    counts: dict[str, int] = {}
    for word in given:
        for name in _LANGUAGES.get(word, ()):
            counts[name] = counts.get(name, 0) + 1
    if not counts:
        return None
    name = max(counts, key=counts.__getitem__)
    most = counts.pop(name)
    second = max(counts.values(), default=0)
    different = len(WORDS[name].intersection(given))
    if different < LEAST_FOUND or most < LEAST_SHARE * words or most == second:
        return None
    return name
