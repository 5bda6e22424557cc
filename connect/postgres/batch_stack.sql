-- The narrower source schema that batch stacks commonly have: nothing here knows Riverbank. No ledger (transactions never
-- move accounts.balance), no updated_at, status or opening_balance on accounts, 32-bit ids, default replica identity.
-- For trying Riverbank on such a database, in a database of its own.

CREATE TABLE customers (
    id         SERIAL PRIMARY KEY,
    first_name VARCHAR(100) NOT NULL,
    last_name  VARCHAR(100) NOT NULL,
    email      VARCHAR(255) NOT NULL UNIQUE,
    created_at TIMESTAMPTZ DEFAULT now()
);

CREATE TABLE accounts (
    id           SERIAL PRIMARY KEY,
    customer_id  INT            NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    account_type VARCHAR(50)    NOT NULL,
    balance      NUMERIC(18, 2) NOT NULL DEFAULT 0 CHECK (balance >= 0),
    currency     CHAR(3)        NOT NULL DEFAULT 'USD',
    created_at   TIMESTAMPTZ DEFAULT now()
);

CREATE TABLE transactions (
    id                 SERIAL PRIMARY KEY,
    account_id         INT            NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    txn_type           VARCHAR(50)    NOT NULL,
    amount             NUMERIC(18, 2) NOT NULL CHECK (amount > 0),
    related_account_id INT,
    status             VARCHAR(20)    NOT NULL DEFAULT 'COMPLETED',
    created_at         TIMESTAMPTZ DEFAULT now()
);

-- The one addition: the connector makes no publication by itself.
CREATE PUBLICATION riverbank FOR TABLE customers, accounts, transactions;
