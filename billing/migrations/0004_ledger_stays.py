"""What the database holds about coupons, credits and tax.

A grant's balance begins at 0 and is moved by ledger entries alone, and entries never change or go: so it is always the
sum of its entries, and the check on its range keeps it from going below zero. That a period has its recurring credit
once is held here too.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION billing_credit_entry_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The credit ledger only grows: entries cannot be changed or deleted.'
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER credit_entry_stays BEFORE UPDATE OR DELETE ON billing_creditentry
    FOR EACH ROW EXECUTE FUNCTION billing_credit_entry_stays();

CREATE FUNCTION billing_credit_entries_move_balances() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong bigint;
BEGIN
    UPDATE billing_creditgrant AS credit SET balance = credit.balance + moved.amount
    FROM (SELECT grant_id, sum(amount) AS amount FROM added GROUP BY grant_id) AS moved
    WHERE credit.id = moved.grant_id AND moved.amount <> 0;
    SELECT added.grant_id INTO wrong FROM added JOIN billing_creditgrant credit ON credit.id = added.grant_id
    WHERE added.kind = 'granted' AND added.amount <> credit.amount LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'Credit grant % is granted with another amount than its own.', wrong
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT added.grant_id INTO wrong FROM added
    JOIN billing_creditgrant credit ON credit.id = added.grant_id
    JOIN billing_invoice invoice ON invoice.id = added.invoice_id
    WHERE (credit.customer_id, credit.currency) IS DISTINCT FROM (invoice.customer_id, invoice.currency) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'Credit grant % is another customer''s, or in another currency, than the invoice.', wrong
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT added.grant_id INTO wrong FROM added
    WHERE added.kind = 'returned' AND added.amount IS DISTINCT FROM (
        SELECT -applied.amount FROM billing_creditentry applied
        WHERE (applied.grant_id, applied.invoice_id, applied.kind) = (added.grant_id, added.invoice_id, 'applied')
    ) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'Credit grant % gets back another amount than was applied.', wrong
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER credit_entries_move_balances AFTER INSERT ON billing_creditentry
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION billing_credit_entries_move_balances();

CREATE FUNCTION billing_credit_grant_stays() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changeable CONSTANT text[] := '{balance,voided_at,voided_by,void_reason}';
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.balance <> 0 THEN
            RAISE EXCEPTION 'A credit grant begins with a balance of 0: its ledger fills it.'
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Credit grant % cannot be deleted, only voided.', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.balance <> OLD.balance AND pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'The balance of credit grant % is the sum of its ledger; write an entry.', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF to_jsonb(NEW) - changeable IS DISTINCT FROM to_jsonb(OLD) - changeable
       OR (OLD.voided_at IS NOT NULL AND NEW.voided_at IS DISTINCT FROM OLD.voided_at)
    THEN
        RAISE EXCEPTION 'Credit grant % cannot be changed, only voided.', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER credit_grant_stays BEFORE INSERT OR UPDATE OR DELETE ON billing_creditgrant
    FOR EACH ROW EXECUTE FUNCTION billing_credit_grant_stays();

CREATE FUNCTION billing_coupon_stays() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changeable CONSTANT text[] := '{valid_from,valid_until,max_redemptions,archived_at}';
BEGIN
    IF EXISTS (SELECT FROM billing_customercoupon WHERE coupon_id = OLD.id)
       AND (TG_OP = 'DELETE' OR to_jsonb(NEW) - changeable IS DISTINCT FROM to_jsonb(OLD) - changeable)
    THEN
        RAISE EXCEPTION 'Coupon % is given to a customer: what it takes off stays.', OLD.code
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER coupon_stays BEFORE UPDATE OR DELETE ON billing_coupon
    FOR EACH ROW EXECUTE FUNCTION billing_coupon_stays();

-- Locks the coupon, so that two customers cannot both get the last one. One removed before it was used counts no more.
CREATE FUNCTION billing_coupon_given() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE most integer;
BEGIN
    SELECT max_redemptions INTO most FROM billing_coupon WHERE id = NEW.coupon_id FOR UPDATE;
    IF most IS NOT NULL AND most <= (
        SELECT count(*) FROM billing_customercoupon given WHERE given.coupon_id = NEW.coupon_id
        AND (given.removed_at IS NULL
             OR EXISTS (SELECT FROM billing_invoicediscount used WHERE used.customer_coupon_id = given.id))
    ) THEN
        RAISE EXCEPTION 'customercoupon_within_redemptions: the coupon is given % times already.', most
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER coupon_given BEFORE INSERT ON billing_customercoupon
    FOR EACH ROW EXECUTE FUNCTION billing_coupon_given();

CREATE FUNCTION billing_recurring_grant_stays() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changeable CONSTANT text[] := '{next_on,next_at,stopped_at,stopped_by}';
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Recurring grant % cannot be deleted, only stopped.', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF to_jsonb(NEW) - changeable IS DISTINCT FROM to_jsonb(OLD) - changeable
       OR NEW.next_on < OLD.next_on
       OR (OLD.stopped_at IS NOT NULL AND NEW IS DISTINCT FROM OLD)
    THEN
        RAISE EXCEPTION 'Recurring grant % cannot be changed, only stopped.', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER recurring_grant_stays BEFORE UPDATE OR DELETE ON billing_recurringgrant
    FOR EACH ROW EXECUTE FUNCTION billing_recurring_grant_stays();

CREATE FUNCTION billing_credit_is_as_agreed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM billing_recurringgrant agreed WHERE agreed.id = NEW.recurring_id
        AND (agreed.customer_id, agreed.currency, agreed.amount) = (NEW.customer_id, NEW.currency, NEW.amount)
    ) THEN
        RAISE EXCEPTION 'A credit is not what its recurring grant % says.', NEW.recurring_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER credit_is_as_agreed BEFORE INSERT ON billing_creditgrant
    FOR EACH ROW WHEN (NEW.recurring_id IS NOT NULL) EXECUTE FUNCTION billing_credit_is_as_agreed();

-- A hash stands for the text: GiST compares ranges of numbers without an extension.
ALTER TABLE billing_taxrate ADD CONSTRAINT taxrate_one_at_a_time EXCLUDE USING gist (
    numrange(
        hashtextextended(country || '/' || region || '/' || category || CASE WHEN on_top THEN '/' || name ELSE '' END, 0)::numeric,
        hashtextextended(country || '/' || region || '/' || category || CASE WHEN on_top THEN '/' || name ELSE '' END, 0)::numeric,
        '[]'
    ) WITH &&,
    daterange(valid_from, valid_until) WITH &&
);
"""
BACKWARD = """
ALTER TABLE billing_taxrate DROP CONSTRAINT taxrate_one_at_a_time;
DROP TRIGGER credit_is_as_agreed ON billing_creditgrant;
DROP FUNCTION billing_credit_is_as_agreed;
DROP TRIGGER recurring_grant_stays ON billing_recurringgrant;
DROP FUNCTION billing_recurring_grant_stays;
DROP TRIGGER coupon_given ON billing_customercoupon;
DROP FUNCTION billing_coupon_given;
DROP TRIGGER coupon_stays ON billing_coupon;
DROP FUNCTION billing_coupon_stays;
DROP TRIGGER credit_grant_stays ON billing_creditgrant;
DROP FUNCTION billing_credit_grant_stays;
DROP TRIGGER credit_entries_move_balances ON billing_creditentry;
DROP FUNCTION billing_credit_entries_move_balances;
DROP TRIGGER credit_entry_stays ON billing_creditentry;
DROP FUNCTION billing_credit_entry_stays;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_invoices_add_up")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
