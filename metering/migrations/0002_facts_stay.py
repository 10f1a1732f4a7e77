"""What was stored stays: events keep their content, meters how they count, batches their position.

An event may only gain a meter and customer (released) or be marked void; both name the batch that did it.
Pruning announces itself with `SET LOCAL reckoner.prune = 'on'`.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION metering_event_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF current_setting('reckoner.prune', true) = 'on' THEN RETURN OLD; END IF;
        RAISE EXCEPTION 'Event % cannot be deleted.', OLD.key USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.id, NEW.source, NEW.key, NEW.batch_id, NEW.occurred_at, NEW.received_at)
           IS DISTINCT FROM (OLD.id, OLD.source, OLD.key, OLD.batch_id, OLD.occurred_at, OLD.received_at)
       OR (NEW.value, NEW.subject, NEW.dimensions, NEW.workload_id, NEW.meter_code, NEW.customer_code, NEW.signal,
        NEW.target_id)
           IS DISTINCT FROM (OLD.value, OLD.subject, OLD.dimensions, OLD.workload_id, OLD.meter_code, OLD.customer_code, OLD.signal,
                                    OLD.target_id)
       OR (OLD.meter_id IS NOT NULL AND NEW.meter_id IS DISTINCT FROM OLD.meter_id)
       OR (OLD.customer_id IS NOT NULL AND NEW.customer_id IS DISTINCT FROM OLD.customer_id)
       OR (OLD.released_batch_id IS NOT NULL AND NEW.released_batch_id IS DISTINCT FROM OLD.released_batch_id)
       OR (OLD.voided_batch_id IS NOT NULL AND NEW.voided_batch_id IS DISTINCT FROM OLD.voided_batch_id)
    THEN
        RAISE EXCEPTION 'Event % cannot be changed; correct it with a new fact.', OLD.key
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER event_stays BEFORE UPDATE OR DELETE ON metering_event
    FOR EACH ROW EXECUTE FUNCTION metering_event_stays();

-- How a meter counts: every column but those that may always change. A new column is frozen unless it is named here.
CREATE FUNCTION metering_meter_definition(meter metering_meter) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT to_jsonb(meter) - ARRAY['id', 'code', 'label', 'unit', 'description', 'dimensions', 'allow_negative',
                                   'status', 'created_at', 'attempts_meter_id']
$$;

CREATE FUNCTION metering_meter_has_events(meter bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM customers_customer c, LATERAL (
               SELECT FROM metering_event e WHERE e.customer_id = c.id AND e.meter_id = meter LIMIT 1) hit)
        OR EXISTS (SELECT FROM metering_event e WHERE e.customer_id IS NULL AND e.meter_id = meter)
$$;

CREATE FUNCTION metering_meter_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.status = 'draft' THEN RETURN OLD; END IF;
        RAISE EXCEPTION 'Meter % cannot be deleted, only deprecated.', OLD.code USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.status = 'draft' THEN RETURN NEW; END IF;
    IF NEW.code IS DISTINCT FROM OLD.code OR NEW.status = 'draft' THEN
        RAISE EXCEPTION 'Meter % keeps its code and does not become a draft again.', OLD.code
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (metering_meter_definition(NEW) IS DISTINCT FROM metering_meter_definition(OLD)
            OR NOT NEW.dimensions @> OLD.dimensions)
       AND metering_meter_has_events(OLD.id)
    THEN
        RAISE EXCEPTION 'Meter % has events: it cannot count in another way.', OLD.code
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER meter_stays BEFORE UPDATE OR DELETE ON metering_meter
    FOR EACH ROW EXECUTE FUNCTION metering_meter_stays();

CREATE FUNCTION metering_row_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Rows of % cannot be deleted.', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER workloadname_stays BEFORE DELETE ON metering_workloadname
    FOR EACH ROW EXECUTE FUNCTION metering_row_stays();
CREATE TRIGGER eventbatch_stays BEFORE DELETE ON metering_eventbatch
    FOR EACH ROW EXECUTE FUNCTION metering_row_stays();

CREATE FUNCTION metering_position_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Batch % keeps its position.', OLD.id USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER eventbatch_position_stays BEFORE UPDATE OF position, stored ON metering_eventbatch
    FOR EACH ROW WHEN (OLD.position IS NOT NULL) EXECUTE FUNCTION metering_position_stays();

CREATE FUNCTION metering_correction_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The correction of event % cannot be changed.', OLD.event_id USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER eventcorrection_stays BEFORE UPDATE OR DELETE ON metering_eventcorrection
    FOR EACH ROW EXECUTE FUNCTION metering_correction_stays();

ALTER TABLE metering_usagebyday SET (fillfactor = 70);
-- Events are only added: the index answers alone when what is new is marked as seen by all.
ALTER TABLE metering_event SET (
    autovacuum_vacuum_insert_scale_factor = 0.01, autovacuum_vacuum_insert_threshold = 100000
);
ALTER TABLE metering_settledoutcome SET (
    autovacuum_vacuum_insert_scale_factor = 0.01, autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_vacuum_scale_factor = 0.02
);
"""
BACKWARD = """
ALTER TABLE metering_settledoutcome RESET (
    autovacuum_vacuum_insert_scale_factor, autovacuum_vacuum_insert_threshold, autovacuum_vacuum_scale_factor
);
ALTER TABLE metering_event RESET (autovacuum_vacuum_insert_scale_factor, autovacuum_vacuum_insert_threshold);
ALTER TABLE metering_usagebyday RESET (fillfactor);
DROP TRIGGER eventcorrection_stays ON metering_eventcorrection;
DROP FUNCTION metering_correction_stays;
DROP TRIGGER eventbatch_position_stays ON metering_eventbatch;
DROP FUNCTION metering_position_stays;
DROP TRIGGER eventbatch_stays ON metering_eventbatch;
DROP TRIGGER workloadname_stays ON metering_workloadname;
DROP FUNCTION metering_row_stays;
DROP TRIGGER meter_stays ON metering_meter;
DROP FUNCTION metering_meter_stays;
DROP FUNCTION metering_meter_has_events;
DROP FUNCTION metering_meter_definition;
DROP TRIGGER event_stays ON metering_event;
DROP FUNCTION metering_event_stays;
"""


class Migration(migrations.Migration):
    dependencies = [("metering", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
