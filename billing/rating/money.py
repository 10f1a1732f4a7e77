"""Minor units of currencies, and the only rounding there is: half away from zero."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction

from billing.rating.errors import NotANumber, UnknownCurrency

# Current codes of ISO 4217 by the decimals of their minor unit.
_CODES = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """
        AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN
        BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP
        GBP GEL GHS GIP GMD GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT
        LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO
        NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS
        SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD
        XCG YER ZAR ZMW ZWG ZWL
    """,
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_DIGITS = {code: digits for digits, codes in _CODES.items() for code in codes.split()}
CURRENCIES = frozenset(_DIGITS)
# Wide enough for any amount this application can make; `quantize` refuses a result that does not fit.
_ROUNDING = Context(prec=1000, rounding=ROUND_HALF_UP)


def currency_digits(currency: str) -> int:
    """Give the number of decimals of a currency's minor unit (ISO 4217): JPY 0, USD 2, KWD 3.

    Raises UnknownCurrency for anything that is not a current ISO 4217 code in capitals, also for codes
    without a minor unit (gold, test codes).
    """
    try:
        return _DIGITS[currency]
    except KeyError:
        raise UnknownCurrency(
            f"{currency!r} is not a currency that can be billed. "
            "Use an ISO 4217 code in capitals, such as USD or EUR."
        ) from None


def round_amount(amount: Decimal, digits: int) -> Decimal:
    """Round to `digits` decimals, half away from zero; negative `digits` round to tens, hundreds and so on.

    Never gives a negative zero. Raises NotANumber for NaN and infinity.
    """
    if not amount.is_finite():
        raise NotANumber(f"{amount} cannot be rounded to an amount of money.")
    rounded = amount.quantize(Decimal((0, (1,), -digits)), context=_ROUNDING)
    return rounded if rounded else abs(rounded)


def round_fraction(value: Fraction, digits: int) -> Decimal:
    """Round an exact fraction once, half away from zero: for divisions no decimal can hold (22/29)."""
    scale = Fraction(10) ** digits
    doubled = 2 * abs(value) * scale
    units = (doubled.numerator // doubled.denominator + 1) // 2
    return Decimal((1 if value < 0 and units else 0, Decimal(units).as_tuple().digits, -digits))
