//! Debezium's envelope, by the schema of the one who wrote it.

use wire::{DatumError, DatumInput};

use super::avro::{Avro, Field, Form, NodeId, Record};
use super::common::COMMON;
use super::datum::{Value, read, skip};
use super::value;
use crate::columns::Column;

/// The schema of a topic's change events, and what of it is where.
#[derive(Debug)]
pub struct EventSchema {
    pub avro: Avro,
    fields: Vec<(NodeId, Role)>,
    source: SourceFields,
    before: Image,
    after: Image,
}

/// What a field of the envelope is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Before,
    After,
    Source,
    Op,
    Other,
}

/// Where a row's columns are declared.
#[derive(Debug)]
pub struct Image {
    pub node: NodeId,
    /// One for each field of the row, in its order.
    pub columns: Vec<Column>,
}

/// What is wanted of the `source` block, field by field.
#[derive(Debug, Default)]
struct SourceFields(Vec<Option<SourceField>>);

/// What a field of it says.
#[derive(Debug, Clone, Copy)]
enum SourceField {
    Lsn,
    TxId,
    Micros,
    Millis,
    Snapshot,
}

/// A change event.
#[derive(Debug)]
pub struct Event<'a> {
    pub op: &'a str,
    pub before: Value<'a>,
    pub after: Value<'a>,
    pub lsn: Option<i64>,
    pub tx_id: Option<i64>,
    pub source_ts: Option<i64>,
    pub snapshot: Option<&'a str>,
}

impl EventSchema {
    /// Reads a schema; the error says why it is none of this topic's change events.
    pub fn parse(text: &str, topic: &str) -> Result<Self, String> {
        let avro = Avro::parse(text)?;
        let Some(record) = avro.record(avro.root) else {
            return Err("it is no record".to_owned());
        };
        if !is_of(&record.name, topic) {
            return Err(format!("record {} is no change event of topic {topic}", record.name));
        }
        let role = |name: &str| match name {
            "before" => Role::Before,
            "after" => Role::After,
            "source" => Role::Source,
            "op" => Role::Op,
            _ => Role::Other,
        };
        let fields: Vec<_> = record.fields.iter().map(|field| (field.node, role(&field.name))).collect();
        let node = |role| {
            let of = fields.iter().find(|(_, other)| *other == role);
            of.map(|(node, _)| *node)
                .ok_or_else(|| format!("{} lacks {role:?}", record.name))
        };
        let image = |role| {
            let node = node(role)?;
            let row = avro.record(node).ok_or_else(|| format!("{role:?} is no row"))?;
            let mut columns: Vec<Column> = Vec::with_capacity(row.fields.len());
            for field in &row.fields {
                let name = column_name(&field.name, &columns);
                columns.push(Column::named(name, value::kind(&avro, field.node)));
            }
            Ok::<_, String>(Image { node, columns })
        };
        node(Role::Op)?;
        let (before, after) = (image(Role::Before)?, image(Role::After)?);
        let source = node(Role::Source).ok().and_then(|node| avro.record(node));
        let source = source.map(SourceFields::of).unwrap_or_default();
        Ok(Self {
            fields,
            source,
            before,
            after,
            avro,
        })
    }

    /// Reads an event from all of these bytes.
    pub fn read<'a>(&'a self, datum: &'a [u8]) -> Result<Event<'a>, DatumError> {
        let mut input = DatumInput::new(datum);
        let mut event = Event {
            op: "",
            before: Value::Null,
            after: Value::Null,
            lsn: None,
            tx_id: None,
            source_ts: None,
            snapshot: None,
        };
        // The root may be a union of null and the record; such a one is no event.
        if !matches!(self.avro.node(self.avro.root).form, Form::Record(_)) {
            return Err(DatumError::new("a change event that may be null"));
        }
        for (node, role) in &self.fields {
            let within = |error: DatumError| error.within(role.name());
            match role {
                Role::Before => event.before = read(&self.avro, *node, &mut input).map_err(within)?,
                Role::After => event.after = read(&self.avro, *node, &mut input).map_err(within)?,
                Role::Op => match read(&self.avro, *node, &mut input).map_err(within)? {
                    Value::Text(op) => event.op = op,
                    _ => return Err(DatumError::new("op is no text")),
                },
                Role::Source => self.source.read(&self.avro, *node, &mut input, &mut event).map_err(within)?,
                Role::Other => skip(&self.avro, *node, &mut input).map_err(within)?,
            }
        }
        match input.left() {
            0 => Ok(event),
            left => Err(DatumError::new(format!("{left} bytes are left over"))),
        }
    }

    /// The row that an event is about, as the source has it or, of a delete, had it; and how its columns are declared.
    pub fn row<'e, 'a>(&self, event: &'e Event<'a>) -> (&Image, Option<&'e [Value<'a>]>) {
        let (image, value) = match event.op {
            "d" => (&self.before, &event.before),
            _ => (&self.after, &event.after),
        };
        let row = match value {
            Value::Items(items) => Some(items.as_slice()),
            _ => None,
        };
        (image, row)
    }

    /// The row as it was, as JSON.
    pub fn before(&self, event: &Event<'_>) -> Option<String> {
        if event.before == Value::Null {
            return None;
        }
        let mut out = Vec::new();
        value::json(&self.avro, self.before.node, &event.before, &mut out);
        String::from_utf8(out).ok()
    }
}

impl SourceFields {
    fn of(record: &Record) -> Self {
        let known = |field: &Field| match field.name.as_str() {
            "lsn" => Some(SourceField::Lsn),
            "txId" => Some(SourceField::TxId),
            "ts_us" => Some(SourceField::Micros),
            "ts_ms" => Some(SourceField::Millis),
            "snapshot" => Some(SourceField::Snapshot),
            _ => None,
        };
        Self(record.fields.iter().map(known).collect())
    }

    /// Reads the block, and gathers nothing of what is not wanted.
    fn read<'a>(
        &self,
        avro: &'a Avro,
        node: NodeId,
        input: &mut DatumInput<'a>,
        event: &mut Event<'a>,
    ) -> Result<(), DatumError> {
        let Form::Record(record) = &avro.node(node).form else {
            if let Value::Items(items) = read(avro, node, input)? {
                self.0.iter().zip(&items).for_each(|(known, value)| event.take(*known, value));
            }
            return Ok(());
        };
        for (field, known) in record.fields.iter().zip(&self.0) {
            let within = |error: DatumError| error.within(&field.name);
            match known {
                None => skip(avro, field.node, input).map_err(within)?,
                known => event.take(*known, &read(avro, field.node, input).map_err(within)?),
            }
        }
        Ok(())
    }
}

impl<'a> Event<'a> {
    fn take(&mut self, known: Option<SourceField>, value: &Value<'a>) {
        match (known, value) {
            (Some(SourceField::Lsn), Value::Int(lsn)) => self.lsn = Some(*lsn),
            (Some(SourceField::TxId), Value::Int(id)) => self.tx_id = Some(*id),
            (Some(SourceField::Micros), Value::Int(at)) => self.source_ts = Some(*at),
            // Where there are microseconds, they hold, whichever comes first.
            (Some(SourceField::Millis), Value::Int(at)) => self.source_ts = self.source_ts.or(Some(at.saturating_mul(1_000))),
            (Some(SourceField::Snapshot), Value::Text(text)) => self.snapshot = Some(text),
            (Some(SourceField::Snapshot), Value::Bool(true)) => self.snapshot = Some("true"),
            (Some(SourceField::Snapshot), Value::Bool(false)) => self.snapshot = Some("false"),
            _ => {}
        }
    }
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Before => "before",
            Role::After => "after",
            Role::Source => "source",
            Role::Op => "op",
            Role::Other => "the envelope",
        }
    }
}

/// Whether a record of this name is a change event of a topic: `….<table>.Envelope`, as Debezium names it.
///
/// The table is what must agree: a topic's prefix may have been changed on its way.
fn is_of(name: &str, topic: &str) -> bool {
    let table = topic.rsplit('.').next().unwrap_or(topic);
    let allowed = |letter: char| match letter.is_ascii_alphanumeric() {
        true => letter,
        false => '_',
    };
    let table: String = table.chars().map(allowed).collect();
    let named = name.strip_suffix(".Envelope").map(|namespace| namespace.rsplit('.').next());
    named == Some(Some(table.as_str()))
}

/// A source's column in the lake: by its name, unless that is one of ours, or another one's but for case. Few engines tell `Kyc`
/// from `kyc`, and most take `day=…` and `p=…` in a file's path for columns.
fn column_name(name: &str, others: &[Column]) -> String {
    let ours = COMMON.iter().map(|column| &*column.name).chain(["day", "p"]);
    let mut name = match ours.into_iter().any(|ours| ours.eq_ignore_ascii_case(name)) {
        true => format!("{name}_source"),
        false => name.to_owned(),
    };
    while others.iter().any(|other| other.is(&name)) {
        name.push_str("_2");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_s_name_must_fit_its_topic() {
        for (name, fits) in [
            ("bank.public.accounts.Envelope", true),
            ("old.public.accounts.Envelope", true),
            ("bank.public.customers.Envelope", false),
            ("bank.public.accounts.Value", false),
            ("Envelope", false),
        ] {
            assert_eq!(is_of(name, "bank.public.accounts"), fits, "{name}");
        }
        assert!(is_of("bank.public.my_table.Envelope", "bank.public.my-table"));
    }

    #[test]
    fn no_two_columns_differ_by_case_alone() {
        let others = [Column::nullable("kyc", crate::Kind::Text, "")];
        for (name, column) in [
            ("op", "op"),
            ("_OP", "_OP_source"),
            ("Day", "Day_source"),
            ("kyc", "kyc_2"),
            ("KYC", "KYC_2"),
        ] {
            assert_eq!(column_name(name, &others), column);
        }
    }
}
