"""Frequent short words of languages, and the scripts that identify one, for `softgraft.assembly.language`."""

from __future__ import annotations

from collections.abc import Mapping

from retrieval.splitting.scripts import HAN, HANGUL, KANA

NAMES: Mapping[str, str] = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German",
    "el": "Greek", "en": "English", "es": "Spanish", "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew",
    "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "it": "Italian",
    "ja": "Japanese", "ka": "Georgian", "km": "Khmer", "ko": "Korean", "my": "Burmese", "nl": "Dutch",
    "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sv": "Swedish",
    "ta": "Tamil", "te": "Telugu", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese",
    "zh": "Chinese",
}  # fmt: skip

# The scripts of one language, or of one that is by far the most common, as ranges of a regular expression. Han is
# last: Japanese mixes it with kana.
SCRIPTS: Mapping[str, str] = {
    "ja": KANA,
    "ko": HANGUL,
    "el": "\u0370-\u03ff\u1f00-\u1fff",
    "he": "\u0590-\u05ff",
    "ar": "\u0600-\u06ff\u0750-\u077f",
    "hi": "\u0900-\u097f",
    "bn": "\u0980-\u09ff",
    "ta": "\u0b80-\u0bff",
    "te": "\u0c00-\u0c7f",
    "th": "\u0e00-\u0e7f",
    "my": "\u1000-\u109f",
    "ka": "\u10a0-\u10ff",
    "hy": "\u0530-\u058f",
    "km": "\u1780-\u17ff",
    "zh": HAN,
}
CYRILLIC = "\u0400-\u052f"

# The most frequent words of running text; each list about as long, so that none wins by its length.
WORDS: Mapping[str, frozenset[str]] = {
    code: frozenset(words.split())
    for code, words in {
        "en": "the of and to in a is that for it as was with be by on not he this are or his from at which but have an "
        "you were we can your will if",
        "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus "
        "er hat dass sie nach wird bei einer oder sind kann",
        "fr": "de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont avec ou "
        "aux vous être cette peut votre",
        "es": "de la que el en y los se del las un por con no una su para es al lo como más o pero sus le ha este si "
        "está son entre puede",
        "pt": "de a que o e do da em um para com não uma os no se na por mais as dos como mas ao ele das à seu sua ou "
        "você pode são está pelo",
        "it": "di che e la il un a per in una mi sono ho non ma lo ha le si con gli da del della i dei nel alla è al "
        "delle come questo essere può",
        "nl": "de van een het en in is dat op te zijn met voor niet aan er om ook als dan maar bij of uit nog worden "
        "door naar heeft deze kan u wordt",
        "sv": "och i att en det som på är av för med den till inte om ett har de kan eller från vid så var ska du "
        "denna alla inga måste finns",
        "da": "og i at en det som på er af for med den til ikke om et har de kan eller fra ved så var skal du denne "
        "alle ingen må findes der hvis",
        "no": "og i at en det som på er av for med den til ikke om et har de kan eller fra ved så var skal du denne "
        "alle ingen må finnes der hvis",
        "fi": "ja on ei se että joka oli hän kuin ole mutta niin tai voi ovat sen jos kun myös vain sekä tämä olla "
        "mitä nyt tämän jotka voit ole",
        "pl": "i w na z do się nie że o jest to od za po jak przez dla są lub oraz ma być tym może który które tego "
        "jego gdy tylko tej",
        "cs": "a v se na je že s z do o i to k ve pro za by ale si po jsou jako od podle jeho nebo být které který "
        "není musí tento",
        "ro": "de și a în la cu pe nu este un o că din pentru care se mai al sau prin sunt fi au lui ca dar acest "
        "această poate trebuie",
        "hu": "a az és hogy nem is egy ez csak volt meg de már vagy ha el van kell mint még lehet azt ezt után nincs "
        "minden ki majd",
        "tr": "ve bir bu için ile da de olarak çok daha ne en gibi olan kadar sonra ya o değil var her ama veya mi "
        "lütfen geçerli olduğunu",
        "id": "yang dan di dengan untuk pada ini dari dalam adalah tidak akan itu atau oleh ke sebagai juga dapat ada "
        "telah anda harus bisa",
        "vi": "và của là có các trong cho được với một không những này khi để người đã từ tại về như vào nhưng hoặc "
        "phải bạn",
        "ca": "de la el i a que en els un les per una amb del es no és al més com ha o són seva però aquest aquesta "
        "pot si dels",
        "hr": "i u je na se da za su od a s o koji kao iz što nije ne ili bi biti ali do po koje može mora ovaj",
    }.items()
}
CYRILLIC_WORDS: Mapping[str, frozenset[str]] = {
    code: frozenset(words.split())
    for code, words in {
        "ru": "и в не на с что по это как для от из к у его но за все или был так же если быть этот вы чтобы есть",
        "uk": "і в не на з що до це як для від із та у його але за все або був так же якщо бути цей ви щоб є не",
        "bg": "и в не на с че по това как за от из към у му но или са се е да беше така ако бъде този вие които",
    }.items()
}
