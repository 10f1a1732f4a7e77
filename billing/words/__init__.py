"""The fixed words of documents, one module for each language. English is the reference: every language has its keys.

Documents store the words they were written with (billing.wording), so a text may be improved here at any time. A
test compares keys and placeholders.
"""
