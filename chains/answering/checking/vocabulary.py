"""Words that the support check treats in a special way: stop words, synonyms, negation and opposites.

The lists are general English and Chinese, with the negations of a few other languages. No word comes from a domain.
"""

from __future__ import annotations

from chains.answering.checking.stems import stem, words_of

STOP = frozenset(
    words_of("""a an the this that these those it its he him his she her they them their we us our ours you your
        yours i me my who whom whose which what when where why how there here and or but nor so if then than
        as of in on at by for with to from into onto out up down off over about between through during
        against under above around per via is are was were be been being am do does did done have has had
        having can could may might must shall should will would need needs ought let not no never neither
        none without unless except cannot yes also too very just only even still already again both either
        each every all any some such same own other another one ones more most much many few less least
        before after until till since while whereas although though because whether like yet ever please
        however therefore thus well 's 're 've 'll 'd 'm n't don doesn didn isn wo ca aren wasn weren won wouldn
        couldn shouldn hasn haven hadn mustn needn within upon along across last next once twice etc e.g i.e
        eg ie der die das den dem des ein eine einen einem einer und oder aber ist sind war wird werden zu
        mit von für auf im in le la les un une des du de et ou est sont dans pour avec par sur que qui el
        los las y o es son en con por para lo il lo gli e di che è per os as um uma não se""")
)

# A sentence of these words alone claims nothing about the subject.
META = frozenset(
    map(
        stem,
        words_of("""document documents passage passages evidence context answer answers information following according
        question hello hi thanks thank welcome sorry help know say says said mention state find found
        details below above glad happy assist tell asked today dear customer sure course certainly great
        provided show contain unfortunately text source sources page excerpt"""),
    )
)

_SYNONYMS = (
    "cost charge fee price pay payable",
    "refund reimburse repay",
    "telephone phone call ring",
    "buy purchase",
    "send dispatch",
    "receive get obtain",
    "start begin commence",
    "end finish expire",
    "need require necessary",
    "photograph photo picture",
    "mail e-mail email",
    "show appear display",
    "ask request",
    "choose select pick",
    "change alter modify",
    "allow permit",
    "arrive come reach",
    "cover include contain",
    "tell inform notify",
    "give provide offer supply",
    "maximum largest biggest highest upper",
    "minimum smallest lowest",
    "anyone anybody someone somebody person people everyone everybody",
    "mistake error",
    "wrong incorrect",
    "large big",
    "amount sum",
    "whole full entire complete total",
    "child children kid",
    "doctor physician",
    "book reserve",
    "replace replacement new",
    "quick fast rapid",
    "remain stay",
    "consist comprise",
    "own belong",
    "location located place stand situated",
    "check examine test",
    "cancel call-off",
    "increase raise",
    "reduce lower decrease",
    "forbid prohibit ban",
    "refuse decline reject",
)
CANONICAL = {stem(word): stem(group.split()[0]) for group in _SYNONYMS for word in group.split()}

# Verbs and adverbs that nearly any sentence may use.
LIGHT = frozenset(
    CANONICAL.get(stem(word), stem(word))
    for word in words_of(
        """get make take give come go keep put tell say use want have let receive happen possible
        usually         normally typically generally currently directly simply able order way thing case time
        help know sure
        want find ask provide offer apply ensure following available contact require necessary mean
        different important call remain work"""
    )
)

# Words that turn a clause into its opposite.
NEGATORS = frozenset(
    words_of("""not n't no never unless nobody none neither nor cannot nothing nowhere except nicht
        kein keine keinen keiner keinem nie niemals ohne ne pas jamais sans aucun aucune nunca sin jamás
        senza mai não nunca sem""")
)
LEXICAL_NEGATORS = frozenset(
    map(
        stem,
        words_of("""refuse decline reject forbid forbidden prohibit ban deny unable impossible invalid unnecessary
        exclude prevent unavailable exempt unwilling waive lack avoid skip omit"""),
    )
)

# Each side is a set of words (or phrases, with a space). A claim on one side contradicts evidence on the other alone.
_OPPOSITES = (
    ("before earlier beforehand", "after afterwards later"),
    ("increase raise rise grow higher upwards", "decrease reduce lower fall shrink cut downwards"),
    ("allow permit accept", "forbid prohibit ban refuse reject decline"),
    ("include", "exclude"),
    ("open", "closed close shut"),
    ("start begin", "end finish stop"),
    ("first", "last"),
    ("earliest", "latest"),
    ("always", "never"),
    ("optional voluntary", "mandatory compulsory obligatory"),
    ("withdraw withdrawal", "deposit"),
    ("morning", "afternoon evening night"),
    ("smallest minimum lowest least", "largest maximum highest most"),
    ("cheaper cheap", "dearer expensive"),
    ("above", "below"),
    ("inside indoors", "outside outdoors"),
    ("hard", "soft"),
    ("hot warm", "cold cool"),
    ("wet", "dry"),
    ("left", "right"),
    ("gratis", "cost charge fee price pay"),
    ("fixed", "variable"),
    ("sole single", "joint"),
    ("debit", "credit"),
    ("buy", "sell"),
    ("same", "different"),
    ("new", "old existing"),
    ("younger", "older"),
    ("online", "offline"),
    ("east", "west"),
    ("north", "south"),
    ("keep retain", "return refund"),
    ("continue usual", "stop cease"),
)
OPPOSITES = tuple((frozenset(map(stem, one.split())), frozenset(map(stem, other.split()))) for one, other in _OPPOSITES)
# A place with one of these does not support another one.
_EXCLUSIVE = (
    "red blue green yellow black white orange purple pink brown grey",
    "spring summer autumn winter",
    "app branch e-mail email post courier fax",
)
EXCLUSIVE = tuple(frozenset(map(stem, group.split())) for group in _EXCLUSIVE)
OPPOSITES_CHINESE = (
    (("买家",), ("卖家",)),
    (("之前", "以前", "提前"), ("之后", "以后")),
    (("增加", "提高", "上升", "上调"), ("减少", "降低", "下降", "下调")),
    (("上午", "早上"), ("下午", "晚上")),
    (("开始",), ("结束",)),
    (("室内",), ("室外",)),
    (("最大", "最高", "最多"), ("最小", "最低", "最少")),
)

# Absolute words, which a sentence must not add.
ABSOLUTE = frozenset(("always", "never", "only", "exclusively", "guaranteed"))
ABSOLUTE_CHINESE = ("总是", "永远", "所有", "只能", "一律")

STOP_CHINESE = (
    "您好|你好|谢谢|抱歉|对不起|请问|"
    "我们|你们|您们|他们|它们|这个|那个|这些|那些|可以|需要|必须|应该|应当|如果|因此|所以|因为|但是|或者|以及|并且|而且|"
    "就是|一个|一些|请|您|你|我|他|她|它|的|了|吗|呢|吧|是|在|和|与|及|或|而|也|都|就|才|还|又|再|很|将|会|能|要|须|把|被|"
    "让|向|对|从|到|于|为|以|之|其|该|此|这|那|有|等|并|则|只|个|按|由|至|上|下|里|中|内|外|时|后|前|不|没|无|未"
)
NEGATION_CHINESE = "闭馆|关门|停诊|不|没|无|未|非|勿|禁止|拒绝|免"
# Words with these characters that negate nothing.
NO_NEGATION_CHINESE = (
    "不同|不仅|不但|不断|不过|不管|不论|不久|不少于|不低于|不得低于|不能低于|不得少于|不早于|不超过|不得超过|不能超过|不多于|不晚于|不高于|不大于|不满|"
    "不足|未满|未来|无论|非常|是不是|能不能|可不可以|要不要|会不会|有没有|除非|不只|不然|差不多|免疫|没收"
)
