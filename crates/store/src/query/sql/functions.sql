-- What the statements for PostgreSQL call. Every function is immutable, and takes and returns plain values.
-- Where one does what a Rust function does, it is that function line for line, and tests compare the two.

-- The values that a dotted path reaches (query/path.rs, `any`); NULL is a missing one.
CREATE OR REPLACE FUNCTION lode_values(value jsonb, path text[], fan_out boolean) RETURNS SETOF jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    found jsonb;
    rest text[] := path[2:];
    element jsonb;
    at integer := 0;
BEGIN
    IF cardinality(path) = 0 THEN
        RETURN NEXT value;
        RETURN;
    END IF;
    IF jsonb_typeof(value) = 'object' THEN
        found := value -> path[1];
    ELSIF jsonb_typeof(value) = 'array' AND path[1] ~ '^(0|[1-9][0-9]{0,8})$' THEN
        found := value -> path[1]::integer;
    END IF;
    IF found IS NULL THEN
        RETURN NEXT NULL;
        RETURN;
    END IF;
    IF jsonb_typeof(found) <> 'array' THEN
        IF cardinality(rest) = 0 THEN
            RETURN NEXT found;
        ELSIF jsonb_typeof(found) = 'object' THEN
            RETURN QUERY SELECT v FROM lode_values(found, rest, fan_out) AS v;
        ELSE
            RETURN NEXT NULL;
        END IF;
        RETURN;
    END IF;
    IF cardinality(rest) = 0 THEN
        IF fan_out THEN
            RETURN QUERY SELECT e FROM jsonb_array_elements(found) AS e;
        END IF;
        RETURN NEXT found;
        RETURN;
    END IF;
    FOR element IN SELECT e FROM jsonb_array_elements(found) AS e LOOP
        IF jsonb_typeof(element) = 'object' THEN
            RETURN QUERY SELECT v FROM lode_values(element, rest, fan_out) AS v;
        END IF;
        IF rest[1] = at::text THEN
            IF cardinality(rest) = 1 THEN
                RETURN NEXT element;
            ELSIF jsonb_typeof(element) IN ('object', 'array') THEN
                RETURN QUERY SELECT v FROM lode_values(element, rest[2:], fan_out) AS v;
            END IF;
        END IF;
        at := at + 1;
    END LOOP;
END $$;

-- MongoDB's order of types (query/value.rs, `Rank`), with false before true.
CREATE OR REPLACE FUNCTION lode_rank(value jsonb) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE jsonb_typeof(value)
        WHEN 'null' THEN 1 WHEN 'number' THEN 2 WHEN 'string' THEN 3 WHEN 'object' THEN 4
        WHEN 'array' THEN 5 WHEN 'boolean' THEN CASE WHEN value = 'true' THEN 7 ELSE 6 END
        ELSE 0 END
$$;

-- The value that a document is sorted by (query/sort.rs, `chosen`); NULL for an empty array.
CREATE OR REPLACE FUNCTION lode_chosen(doc jsonb, path text[], descending boolean) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    found jsonb;
    segment text;
    empty boolean := false;
    chosen jsonb;
BEGIN
    -- No array on the way: nearly every sort.
    found := doc;
    FOREACH segment IN ARRAY path LOOP
        IF jsonb_typeof(found) <> 'object' THEN
            RETURN 'null';
        END IF;
        found := found -> segment;
        IF found IS NULL THEN
            RETURN 'null';
        END IF;
        EXIT WHEN jsonb_typeof(found) = 'array';
    END LOOP;
    IF jsonb_typeof(found) <> 'array' THEN
        RETURN found;
    END IF;
    SELECT coalesce(bool_or(v = '[]'), false) INTO empty FROM lode_values(doc, path, false) AS v;
    IF empty AND NOT descending THEN
        RETURN NULL;
    END IF;
    SELECT e INTO chosen
    FROM lode_values(doc, path, false) AS v,
        LATERAL jsonb_array_elements(
            CASE WHEN jsonb_typeof(v) = 'array' THEN v ELSE jsonb_build_array(v) END) AS e,
        LATERAL (SELECT CASE WHEN jsonb_typeof(e) = 'number' THEN e::numeric END,
            CASE WHEN jsonb_typeof(e) = 'string' THEN e #>> '{}' END COLLATE "C") AS k(number, string)
    ORDER BY
        CASE WHEN descending THEN NULL ELSE lode_rank(e) END,
        CASE WHEN descending THEN NULL ELSE k.number END,
        CASE WHEN descending THEN NULL ELSE k.string END COLLATE "C",
        lode_rank(e) DESC, k.number DESC, k.string COLLATE "C" DESC
    LIMIT 1;
    IF chosen IS NULL AND NOT empty THEN
        RETURN 'null';
    END IF;
    RETURN chosen;
END $$;

-- What an index holds of a field (query/sql/index.rs, `key_bytes`).
CREATE OR REPLACE FUNCTION lode_key(doc jsonb, path text[]) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    value jsonb := doc;
    segment text;
    number double precision;
    bits bit(64);
BEGIN
    FOREACH segment IN ARRAY path LOOP
        IF jsonb_typeof(value) <> 'object' THEN
            RETURN '\x10';
        END IF;
        value := value -> segment;
        IF value IS NULL THEN
            RETURN '\x10';
        END IF;
        IF jsonb_typeof(value) = 'array' THEN
            RETURN '\x50';
        END IF;
    END LOOP;
    CASE jsonb_typeof(value)
        WHEN 'number' THEN
            number := value::double precision;
            bits := ('x' || encode(float8send(number), 'hex'))::bit(64);
            IF number < 0 THEN
                bits := ~bits;
            ELSE
                bits := bits # ('x8000000000000000')::bit(64);
            END IF;
            RETURN '\x20'::bytea || int8send(bits::bigint);
        WHEN 'string' THEN
            RETURN '\x30'::bytea || substring(convert_to(value #>> '{}', 'UTF8') FROM 1 FOR 256);
        WHEN 'object' THEN
            RETURN '\x40';
        WHEN 'boolean' THEN
            RETURN CASE WHEN value = 'true' THEN '\x6001'::bytea ELSE '\x6000'::bytea END;
        ELSE
            RETURN '\x10';
    END CASE;
END $$;

-- A place as x and y (query/filter/geo.rs, `stored`); NULL if it is none.
CREATE OR REPLACE FUNCTION lode_point(value jsonb) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF jsonb_typeof(value) = 'object' AND value -> 'type' = '"Point"' THEN
        value := value -> 'coordinates';
    END IF;
    IF jsonb_typeof(value) = 'array' AND jsonb_typeof(value -> 0) = 'number'
        AND jsonb_typeof(value -> 1) = 'number' THEN
        RETURN ARRAY[(value -> 0)::double precision, (value -> 1)::double precision];
    END IF;
    RETURN NULL;
END $$;

-- In radians on the sphere, in the coordinates' unit on the plane (query/filter/geo.rs, `distance`).
CREATE OR REPLACE FUNCTION lode_distance(
    value jsonb, x double precision, y double precision, sphere boolean
) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    p double precision[] := lode_point(value);
    half_lat double precision;
    half_lng double precision;
    h double precision;
BEGIN
    IF p IS NULL THEN
        RETURN NULL;
    END IF;
    IF NOT sphere THEN
        RETURN sqrt((x - p[1]) ^ 2 + (y - p[2]) ^ 2);
    END IF;
    half_lat := sin(radians(p[2] - y) / 2);
    half_lng := sin(radians(p[1] - x) / 2);
    h := half_lat * half_lat + cos(radians(y)) * cos(radians(p[2])) * half_lng * half_lng;
    RETURN 2 * asin(sqrt(least(1, greatest(0, h))));
END $$;

-- Whether a place is inside a polygon (query/filter/geo.rs, `inside`).
CREATE OR REPLACE FUNCTION lode_inside(value jsonb, xs double precision[], ys double precision[])
RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    p double precision[] := lode_point(value);
    inside boolean := false;
    previous integer := cardinality(xs);
BEGIN
    IF p IS NULL THEN
        RETURN false;
    END IF;
    FOR i IN 1 .. cardinality(xs) LOOP
        IF (ys[i] > p[2]) <> (ys[previous] > p[2]) THEN
            IF p[1] < (xs[previous] - xs[i]) * (p[2] - ys[i]) / (ys[previous] - ys[i]) + xs[i] THEN
                inside := NOT inside;
            END IF;
        END IF;
        previous := i;
    END LOOP;
    RETURN inside;
END $$;
