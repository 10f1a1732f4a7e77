"""Customers are archived, never deleted, and keep their code: events and invoices call them by it."""

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
"""
BACKWARD = """
DROP TRIGGER customer_stays ON customers_customer;
DROP FUNCTION customers_customer_stays;
"""


class Migration(migrations.Migration):
    dependencies = [("customers", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
