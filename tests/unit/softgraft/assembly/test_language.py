"""The language of a text, from its script and its frequent words."""

from __future__ import annotations

import pytest

from softgraft.assembly.language import UNKNOWN, LanguageShare, common_language, language_of
from softgraft.assembly.language_words import CYRILLIC_WORDS, NAMES, SCRIPTS, WORDS

TEXTS = {
    "en": "You have 120 days to dispute a card payment, counted from the day that it was made.",
    "de": "Sie können die Zahlung innerhalb von 120 Tagen anfechten, wenn die Karte nicht mit der PIN genutzt wurde.",
    "fr": "Vous pouvez contester le paiement dans les 120 jours qui suivent, si la carte ne vous a pas été rendue.",
    "es": "El plazo para reclamar es de 120 días y se cuenta desde el día en que se hizo el pago con la tarjeta.",
    "pt": "O prazo para contestar é de 120 dias e não muda se o pagamento foi feito com um cartão da empresa.",
    "it": "Il termine per contestare il pagamento è di 120 giorni e non cambia se la carta è stata usata con il PIN.",
    "nl": "U kunt de betaling binnen 120 dagen betwisten, als de kaart niet met de pincode is gebruikt.",
    "sv": "Du kan bestrida betalningen inom 120 dagar från den dag som pengarna drogs från kontot, om det inte är så.",
    "pl": "Masz 120 dni na reklamację płatności i nie ma znaczenia, czy karta została użyta z PIN-em, czy nie.",
    "ru": "У вас есть 120 дней, чтобы оспорить платёж, и это не зависит от того, как была использована карта.",
    "uk": "У вас є 120 днів, щоб оскаржити платіж, і це не залежить від того, як була використана картка.",
    "zh": "您有一百二十天的时间对银行卡付款提出异议，从付款之日起计算。",
    "ja": "カードの支払いについては、支払日から百二十日以内に異議を申し立てることができます。",
    "ko": "카드 결제에 대해 결제일로부터 120일 이내에 이의를 제기할 수 있습니다.",
    "ar": "لديك مئة وعشرون يوما للاعتراض على الدفع بالبطاقة من يوم الدفع.",
    "fa": "شما صد و بیست روز فرصت دارید که به پرداخت با کارت اعتراض کنید، از روز پرداخت.",
    "el": "Έχετε 120 ημέρες για να αμφισβητήσετε μια πληρωμή με κάρτα.",
    "hi": "आपके पास कार्ड भुगतान पर विवाद करने के लिए एक सौ बीस दिन हैं।",
    "th": "คุณมีเวลา 120 วันในการโต้แย้งการชำระเงินด้วยบัตร",
}


@pytest.mark.parametrize(("code", "text"), TEXTS.items(), ids=TEXTS)
def test_a_sentence_is_recognised(code: str, text: str) -> None:
    assert language_of(text) == code


@pytest.mark.parametrize("text", ["", "12.50 %", "Fees", "xyzzy plugh frobnicate quux", "SELECT 1"])
def test_too_little_or_unknown_text_has_no_language(text: str) -> None:
    assert language_of(text) == UNKNOWN


def test_a_few_foreign_words_do_not_matter() -> None:
    assert language_of(TEXTS["en"] + " 银行卡") == "en"
    assert language_of(TEXTS["zh"] + " See the card terms.") == "zh"


def test_the_most_common_language_has_its_share_of_the_known_text() -> None:
    found = common_language([TEXTS["en"], TEXTS["fr"], TEXTS["fr"], "12.50 %", "x" * 5000])
    characters = len(TEXTS["en"]) + 2 * len(TEXTS["fr"])
    assert found == LanguageShare("fr", 2 * len(TEXTS["fr"]) / characters)
    assert found.name == "French"
    assert common_language(["", "12"]) is None
    assert common_language([]) is None


def test_every_language_has_a_name() -> None:
    assert {*WORDS, *CYRILLIC_WORDS, *SCRIPTS} <= set(NAMES)
    assert all(20 <= len(words) <= 45 for words in WORDS.values())
