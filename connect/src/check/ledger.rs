//! Whether the ledger keeps the balances: its triggers, where the database has it.

use sqlx::{PgConnection, Row};

use super::problem::{ProblemKind, SourceProblem};

/// The ledger's triggers by table.
const TRIGGERS: [(&str, &[&str]); 2] = [
    (
        "transactions",
        &[
            "ledger_on_insert",
            "ledger_on_update",
            "ledger_on_delete",
            "ledger_refuse_truncate",
            "transactions_guard",
        ],
    ),
    ("accounts", &["accounts_guard"]),
];

pub(super) async fn check(connection: &mut PgConnection) -> Result<Vec<SourceProblem>, sqlx::Error> {
    let has_ledger: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                        WHERE n.nspname = 'public' AND p.proname = 'ledger_set_up_role')",
    )
    .fetch_one(&mut *connection)
    .await?;
    let mut problems = Vec::new();
    if has_ledger {
        for (table, triggers) in TRIGGERS {
            problems.extend(check_table(connection, table, triggers).await?);
        }
    }
    Ok(problems)
}

async fn check_table(connection: &mut PgConnection, table: &str, triggers: &[&str]) -> Result<Vec<SourceProblem>, sqlx::Error> {
    // `A` fires as well, and more often. A foreign key is kept by triggers of its own, which only a superuser can disable, and enable.
    let row = sqlx::query(
        "SELECT coalesce(array_agg(w.name ORDER BY w.place) FILTER (WHERE t.tgenabled NOT IN ('O', 'A')), '{}') AS disabled,
                coalesce(array_agg(w.name ORDER BY w.place) FILTER (WHERE t.oid IS NULL), '{}') AS gone,
                EXISTS (SELECT FROM pg_trigger k
                        WHERE k.tgrelid = c.oid AND k.tgisinternal AND k.tgenabled NOT IN ('O', 'A')) AS keys_are_off
         FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace
         CROSS JOIN unnest($2::text[]) WITH ORDINALITY AS w (name, place)
         LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = w.name AND NOT t.tgisinternal
         WHERE n.nspname = 'public' AND c.relname = $1 AND c.relkind IN ('r', 'p')
         GROUP BY c.oid",
    )
    .bind(table)
    .bind(triggers.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(Vec::new()) };
    let (disabled, gone): (Vec<String>, Vec<String>) = (row.try_get("disabled")?, row.try_get("gone")?);
    let which = if row.try_get("keys_are_off")? { "ALL" } else { "USER" };
    let problem = |triggers: &[String], are: &str, fix: String| {
        let reason = format!(
            "the ledger's triggers on public.{table} are {are} ({}), so the source keeps neither its rules nor its balances: \
             {fix} (docs/runbooks/ledger-off.md)",
            triggers.join(", ")
        );
        (!triggers.is_empty()).then(|| SourceProblem::new(ProblemKind::LedgerOff, reason))
    };
    let enable = format!("ALTER TABLE public.{table} ENABLE TRIGGER {which}; then correct the balances");
    let problems = [
        problem(&disabled, "disabled", enable),
        problem(&gone, "gone", "make them again, then correct the balances".to_owned()),
    ];
    Ok(problems.into_iter().flatten().collect())
}
