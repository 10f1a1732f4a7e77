"""Customers are archived, never deleted, and keep their code: events and invoices call them by it.

Families have one level, and what is billed to a parent is in the parent's currency.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION customers_customer_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Customer % cannot be deleted, only archived.', OLD.code USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.code <> OLD.code THEN
        RAISE EXCEPTION 'The code of customer % cannot be changed.', OLD.code USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER customer_stays BEFORE UPDATE OF code OR DELETE ON customers_customer
    FOR EACH ROW EXECUTE FUNCTION customers_customer_stays();

CREATE FUNCTION customers_family_holds() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE parent record;
BEGIN
    IF NEW.parent_id IS NOT NULL THEN
        -- Locked, so that nobody gives it a parent or another currency at the same moment.
        SELECT customer.parent_id, customer.currency INTO parent
        FROM customers_customer customer WHERE id = NEW.parent_id FOR SHARE;
        IF parent.parent_id IS NOT NULL THEN
            RAISE EXCEPTION 'customer_family_of_one_level: the parent of customer % has a parent itself.', NEW.code
                USING ERRCODE = 'check_violation', CONSTRAINT = 'customer_family_of_one_level';
        END IF;
        IF EXISTS (SELECT FROM customers_customer WHERE parent_id = NEW.id) THEN
            RAISE EXCEPTION 'customer_family_of_one_level: customer % has children and can have no parent.', NEW.code
                USING ERRCODE = 'check_violation', CONSTRAINT = 'customer_family_of_one_level';
        END IF;
        IF NEW.bill_to = 'parent' AND parent.currency <> NEW.currency THEN
            RAISE EXCEPTION 'customer_family_in_one_currency: customer % is billed to a parent in %.', NEW.code,
                parent.currency USING ERRCODE = 'check_violation', CONSTRAINT = 'customer_family_in_one_currency';
        END IF;
    END IF;
    IF EXISTS (SELECT FROM customers_customer
               WHERE parent_id = NEW.id AND bill_to = 'parent' AND currency <> NEW.currency) THEN
        RAISE EXCEPTION 'customer_family_in_one_currency: customers in another currency are billed to %.', NEW.code
            USING ERRCODE = 'check_violation', CONSTRAINT = 'customer_family_in_one_currency';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER customer_family_holds BEFORE INSERT OR UPDATE OF parent_id, bill_to, currency ON customers_customer
    FOR EACH ROW EXECUTE FUNCTION customers_family_holds();
"""
BACKWARD = """
DROP TRIGGER customer_family_holds ON customers_customer;
DROP FUNCTION customers_family_holds;
DROP TRIGGER customer_stays ON customers_customer;
DROP FUNCTION customers_customer_stays;
"""


class Migration(migrations.Migration):
    dependencies = [("customers", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
