-- Dollars (`usd`) are 16-byte big-endian integers in units of 10^-12 dollars: they do not fit an SQLite integer.
-- Times are Unix seconds unless the name says `_ms`. Everything but `meta`, `record`, `void`,
-- `checkpoint`, `repeat`, `sink` and `segment` follows from the records, archived ones included.

CREATE TABLE meta (
    one                INTEGER PRIMARY KEY CHECK (one = 1),
    journal            BLOB    NOT NULL CHECK (length(journal) = 16),
    created_unix_ms    INTEGER NOT NULL,
    adopted_held_until INTEGER            -- set when this journal replaces a lost one
) STRICT;

-- The history. `chain` is the hash chain after the record, `high_water_ms` the latest wall clock up to it.
CREATE TABLE record (
    seq           INTEGER PRIMARY KEY,
    body          BLOB    NOT NULL,
    chain         BLOB    NOT NULL CHECK (length(chain) = 32),
    high_water_ms INTEGER NOT NULL
) STRICT;

-- The permit a request id was used for: one id, one hold or one sign-in.
CREATE TABLE request (
    agent       TEXT    NOT NULL,
    request_id  TEXT    NOT NULL,
    seq         INTEGER NOT NULL,
    fingerprint BLOB    NOT NULL CHECK (length(fingerprint) = 32),
    PRIMARY KEY (agent, request_id)
) STRICT, WITHOUT ROWID;

-- Money bound by a signature. Its scopes are agent, workflow, wallet, service and payee; its bucket is the minute
-- `held_until` rounded up. It is held until evidence resolves it, once.
CREATE TABLE hold (
    seq        INTEGER PRIMARY KEY,
    agent      TEXT    NOT NULL,
    request_id TEXT    NOT NULL,
    endpoint   TEXT    NOT NULL,
    workflow   TEXT    NOT NULL,
    wallet     TEXT    NOT NULL,          -- address
    service    TEXT,
    payee      TEXT    NOT NULL,          -- address
    network    TEXT    NOT NULL,
    method     TEXT    NOT NULL,          -- of transfer: only eip3009 can be voided by a signature
    amount     TEXT    NOT NULL,          -- atomic units, decimal
    usd        BLOB    NOT NULL CHECK (length(usd) = 16),
    held_until INTEGER NOT NULL,
    nonce      BLOB    NOT NULL CHECK (length(nonce) = 32),
    state      TEXT    NOT NULL CHECK (state IN ('held', 'settled', 'released')),
    settled_amount TEXT,                  -- when settled
    settled_usd    BLOB CHECK (length(settled_usd) = 16),
    resolved_seq   INTEGER UNIQUE,        -- the record of the evidence, unless held
    CHECK ((state = 'held') = (resolved_seq IS NULL)),
    CHECK ((state = 'settled') = (settled_usd IS NOT NULL AND settled_amount IS NOT NULL))
) STRICT;
CREATE INDEX hold_unresolved ON hold (held_until) WHERE state = 'held';
CREATE INDEX hold_nonce ON hold (nonce, wallet);
CREATE INDEX hold_to_watch ON hold (network, seq) WHERE state = 'held';

-- What agents claim about their payments and sign-ins: the record of the claim, by the record of the permit.
CREATE TABLE claim (
    permit INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    PRIMARY KEY (permit, seq)
) STRICT, WITHOUT ROWID;

-- What a wallet paid at a service, and what agents last claimed is left of it. It is kept for every service something is
-- booked under: which of them are prepaid is for the registry to say.
CREATE TABLE credit (
    wallet       TEXT    NOT NULL,        -- address
    service      TEXT    NOT NULL,
    topped_up    BLOB    NOT NULL CHECK (length(topped_up) = 16), -- permits not released, as settled where they are
    sign_ins     INTEGER NOT NULL,        -- since the claim, or ever
    last_sign_in INTEGER NOT NULL,        -- its record, or 0
    claimed      BLOB CHECK (length(claimed) = 16),
    claimed_at   INTEGER,
    claimed_seq  INTEGER,                 -- the record of the claim
    CHECK ((claimed IS NULL) = (claimed_at IS NULL) AND (claimed IS NULL) = (claimed_seq IS NULL)),
    PRIMARY KEY (wallet, service)
) STRICT, WITHOUT ROWID;

-- What wall and boot clock said together when this boot's first record was written, or an operator confirmed them.
CREATE TABLE clock (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    unix_ms INTEGER NOT NULL,
    boot_ms INTEGER NOT NULL,
    boot_id BLOB    NOT NULL CHECK (length(boot_id) = 16)
) STRICT;

-- What a total is kept about, with the sum of its buckets that are older than every rolling window. `usd` and `payments`
-- are settled and held together, the `settled_` columns how much of that is settled.
CREATE TABLE scope (
    scope    INTEGER PRIMARY KEY,
    kind     TEXT    NOT NULL,
    name     TEXT    NOT NULL,            -- or address
    usd      BLOB    NOT NULL CHECK (length(usd) = 16),
    payments INTEGER NOT NULL,
    settled_usd      BLOB    NOT NULL CHECK (length(settled_usd) = 16),
    settled_payments INTEGER NOT NULL,
    sign_ins         INTEGER NOT NULL,
    UNIQUE (kind, name)
) STRICT;

-- Dollars and payments of a scope whose holds end within the minute that ends at `minute` * 60.
CREATE TABLE bucket (
    scope    INTEGER NOT NULL,
    minute   INTEGER NOT NULL,
    usd      BLOB    NOT NULL CHECK (length(usd) = 16),
    payments INTEGER NOT NULL,
    settled_usd      BLOB    NOT NULL CHECK (length(settled_usd) = 16),
    settled_payments INTEGER NOT NULL,
    sign_ins         INTEGER NOT NULL,
    PRIMARY KEY (scope, minute)
) STRICT, WITHOUT ROWID;

-- What operators decided last about a subject, and in which record.
CREATE TABLE status (
    kind   TEXT    NOT NULL,
    name   TEXT    NOT NULL,              -- or address
    status TEXT    NOT NULL,
    seq    INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- The records that say what is in force about bundles and keys, and why each still counts: it put the bundle in force
-- ('bundle'), waits for the registry ('pending'), replaced an address ('rotated'), is a wallet's last backup ('backup'), or
-- brought a wallet back that nobody has resumed since ('recovered').
CREATE TABLE life (
    seq  INTEGER NOT NULL,
    role TEXT    NOT NULL,
    PRIMARY KEY (seq, role)
) STRICT, WITHOUT ROWID;

-- What voids a payment, by the record of its permit: the signature of a `CancelAuthorization`. It moves no money, and the
-- key that made it may be gone. Only this table does not follow from the records.
CREATE TABLE void (
    seq       INTEGER PRIMARY KEY,
    signature BLOB    NOT NULL CHECK (length(signature) = 65)
) STRICT;

-- Payees that were refused and left to the operators (`first_use: pending`), and those an operator accepted, by the name
-- their service had then.
CREATE TABLE payee (
    service      TEXT    NOT NULL,
    payee        TEXT    NOT NULL,        -- address
    pending_seq  INTEGER UNIQUE,          -- the refusal; none for one that was refused under another name of the service
    accepted_seq INTEGER UNIQUE,          -- the first act that accepted it
    PRIMARY KEY (service, payee),
    CHECK (pending_seq IS NOT NULL OR accepted_seq IS NOT NULL)
) STRICT, WITHOUT ROWID;

-- Written and emptied again to find out whether a full disk has space by now.
CREATE TABLE probe (
    filler BLOB NOT NULL
) STRICT;

-- The Merkle tree over the records (RFC 6962 §2.1): the hash of each complete subtree of 2^`level` records, the `n`-th of its
-- level from 0. Only levels that make proofs cheap are kept; lower ones are computed from the records.
CREATE TABLE node (
    level INTEGER NOT NULL,
    n     INTEGER NOT NULL,
    hash  BLOB    NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, n)
) STRICT, WITHOUT ROWID;

-- Signed checkpoints (C2SP tlog-checkpoint) of the tree over the first `size` records.
CREATE TABLE checkpoint (
    size INTEGER PRIMARY KEY,
    note TEXT    NOT NULL
) STRICT;

-- What was answered again and again within a minute, and is counted instead of being recorded each time. The row becomes a
-- record when the minute is over. `like_seq` is the last one that was recorded on its own.
CREATE TABLE repeat (
    caller   TEXT    NOT NULL,            -- how the caller is known: its kind and name
    kind     TEXT    NOT NULL,            -- of the records that were not written
    code     TEXT    NOT NULL,            -- of the denial, or empty
    like_seq INTEGER NOT NULL,
    count    INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms  INTEGER NOT NULL,
    PRIMARY KEY (caller, kind, code)
) STRICT, WITHOUT ROWID;

-- How far each sink has acknowledged the records.
CREATE TABLE sink (
    name  TEXT    PRIMARY KEY,
    acked INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Archived records: which, the SHA-256 of the archive file, hash chain and tree (its complete subtrees, the largest first)
-- after the last of them, and whether they leave `record`, but for those that are still needed: no record of another
-- segment may be missing.
CREATE TABLE segment (
    first_seq INTEGER PRIMARY KEY,
    last_seq  INTEGER NOT NULL UNIQUE,
    digest    BLOB    NOT NULL CHECK (length(digest) = 32),
    chain     BLOB    NOT NULL CHECK (length(chain) = 32),
    frontier  BLOB    NOT NULL CHECK (length(frontier) % 32 = 0),
    pruned    INTEGER NOT NULL CHECK (pruned IN (0, 1))
) STRICT;

-- What reports need of permits that are deleted from `record` and `hold`: what was paid and not released, and the last use.
CREATE TABLE past (
    workflow TEXT    NOT NULL,
    wallet   TEXT    NOT NULL,            -- address
    endpoint TEXT    NOT NULL,
    payments INTEGER NOT NULL,
    usd      BLOB    NOT NULL CHECK (length(usd) = 16),
    last_seq INTEGER NOT NULL,            -- the record of the last permit
    last_ms  INTEGER NOT NULL,
    PRIMARY KEY (workflow, wallet, endpoint)
) STRICT, WITHOUT ROWID;
