//! Records of a change log, as rows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use broker::Message;
use wire::WriterSchema;

use super::common::COMMON;
use super::event::{Event, EventSchema};
use super::registry::{Schemas, framing};
use super::shape::Shape;
use super::value;
use crate::columns::{Cell, Column, Columns};
use crate::{Origin, Row, RowError, Rows};

/// An event's schema, and whether the row is a delete's: those have `before`'s columns.
type RowSchema = (WriterSchema, bool);
/// Where a row's values go, one for each.
type Places = Arc<[usize]>;

/// Rows of one file.
pub struct BronzeRows {
    least: &'static [Column],
    schemas: Arc<Schemas>,
    shape: Shape,
    columns: Columns,
    /// Where a schema's columns are, none if the shape does not hold them.
    places: HashMap<RowSchema, Option<Places>>,
    /// The last event's schema: most events are of the same one.
    known: Option<(WriterSchema, Arc<EventSchema>)>,
    /// Where the last row's columns were.
    placed: Option<(RowSchema, Places)>,
    /// The last row's memory.
    cells: Vec<Cell<'static>>,
    /// What the records of this file had.
    seen: Shape,
    /// What a record has that this file cannot hold.
    refused: Option<Vec<Column>>,
    /// Whether the file before this one ended because of its shape.
    after_cut: bool,
    /// Whether rows were taken out: then the shape is settled.
    settled: bool,
    /// The last change's key, and its row's id.
    last: Option<(Vec<u8>, i64)>,
}

/// A row that says nothing but where it is from.
struct Bare<'a> {
    op: &'static str,
    id: Option<i64>,
    raw_key: Option<&'a [u8]>,
    raw: Option<&'a [u8]>,
    error: Option<&'a str>,
}

impl BronzeRows {
    /// The rows of a first file.
    pub fn new(least: &'static [Column], schemas: Arc<Schemas>) -> Self {
        Self::of(least, schemas, Shape::of(least, &[]), false)
    }

    fn of(least: &'static [Column], schemas: Arc<Schemas>, shape: Shape, after_cut: bool) -> Self {
        Self {
            least,
            schemas,
            columns: Columns::new(all_columns(&shape)),
            shape,
            places: HashMap::new(),
            known: None,
            placed: None,
            cells: Vec::new(),
            seen: Shape::default(),
            refused: None,
            after_cut,
            settled: false,
            last: None,
        }
    }

    /// An empty buffer of another shape, with what was learnt.
    fn successor(&self, shape: Shape, after_cut: bool) -> Box<dyn Rows> {
        let mut next = Self::of(self.least, self.schemas.clone(), shape, after_cut);
        next.last.clone_from(&self.last);
        Box::new(next)
    }

    /// Where these columns are in the file. An empty file becomes one that has them.
    fn places(&mut self, schema: WriterSchema, is_delete: bool, fields: &[Column]) -> Result<Places, RowError> {
        let at = (schema, is_delete);
        match self.placed.take() {
            Some((last, places)) if last == at => return Ok(places),
            _ => {}
        }
        let places = match self.places.get(&at) {
            Some(places) => places.clone(),
            None => {
                let mut places = self.shape.places(fields);
                if places.is_none() && self.columns.is_empty() && !self.settled {
                    let wider = match self.after_cut {
                        true => self.shape.clone().with(fields),
                        false => Shape::of(self.least, fields),
                    };
                    places = wider.places(fields);
                    self.columns = Columns::new(all_columns(&wider));
                    self.shape = wider;
                    self.places.clear();
                }
                let places: Option<Places> = places.map(Arc::from);
                if places.is_some() {
                    self.seen = std::mem::take(&mut self.seen).with(fields);
                }
                self.places.entry(at).or_insert(places).clone()
            }
        };
        if places.is_none() {
            self.refused = Some(fields.to_vec());
        }
        places.ok_or(RowError::Shape)
    }

    fn push_event(
        &mut self,
        origin: Origin<'_>,
        record: &Message,
        id: WriterSchema,
        schema: &EventSchema,
        event: &Event<'_>,
    ) -> Result<Row, RowError> {
        let (image, row) = schema.row(event);
        let mut cells = emptied(std::mem::take(&mut self.cells));
        let mut unparsed = Unparsed::default();
        match row {
            Some(values) => {
                let is_delete = event.op == "d";
                let places = self.places(id, is_delete, &image.columns)?;
                cells.resize(self.columns.columns().len() - COMMON.len(), Cell::Null);
                let fields = schema.avro.record(image.node).map_or(&[][..], |row| &row.fields);
                for ((place, field), value) in places.iter().zip(fields).zip(values) {
                    let column = &self.columns.columns()[*place];
                    match value::cell(&schema.avro, field.node, value, column.kind) {
                        Ok(cell) => cells[*place] = cell,
                        Err(text) => unparsed.add(&column.name, &text),
                    }
                }
                self.placed = Some(((id, is_delete), places));
                self.remember(record, &cells);
            }
            // A change without a row: a truncate has no key either.
            None => {
                if let Some(key) = &record.key {
                    cells.push(self.id_cell(self.schemas.id(key)?.ok().flatten()));
                }
            }
        }
        cells.resize(self.columns.columns().len() - COMMON.len(), Cell::Null);
        cells.reserve(COMMON.len());
        // One by one: as an array they would be copied once more.
        cells.push(Cell::Text(event.op.into()));
        cells.push(Cell::int(event.lsn));
        cells.push(Cell::int(event.tx_id));
        cells.push(Cell::timestamp(event.source_ts));
        cells.push(Cell::text(event.snapshot));
        cells.push(Cell::text(schema.before(event)));
        cells.push(Cell::text(unparsed.finish()));
        cells.push(Cell::Text(origin.topic.into()));
        cells.push(Cell::Int(i64::from(origin.partition)));
        cells.push(Cell::Int(record.offset));
        // Bytes and the reason, where it cannot be read.
        cells.resize(cells.len() + 3, Cell::Null);
        // Each cell was made for its column.
        self.columns.append(&cells);
        self.cells = emptied(cells);
        Ok(Row::Whole)
    }

    /// An id that is known from a key; a source may have ids that are no numbers.
    fn id_cell(&self, id: Option<i64>) -> Cell<'static> {
        let kind = self.columns.columns()[0].kind;
        Some(Cell::int(id)).filter(|id| id.fits(kind)).unwrap_or(Cell::Null)
    }

    /// A tombstone follows its delete, whose key is the same, however it is written.
    fn remember(&mut self, record: &Message, cells: &[Cell<'_>]) {
        if let (Some(key), Some(Cell::Int(id))) = (&record.key, cells.first()) {
            let (last, of) = self.last.get_or_insert_default();
            last.clear();
            last.extend_from_slice(key);
            *of = *id;
        }
    }

    fn tombstone(&mut self, origin: Origin<'_>, record: &Message) -> Result<Row, RowError> {
        let known = self
            .last
            .as_ref()
            .filter(|(key, _)| record.key.as_deref() == Some(key.as_slice()));
        let id = match (known, &record.key) {
            (Some((_, id)), _) => Ok(Some(*id)),
            (None, Some(key)) => self.schemas.id(key)?,
            (None, None) => Ok(None),
        };
        match id {
            Ok(id) => {
                let raw_key = record.key.as_deref().filter(|_| id.is_none());
                self.push_bare(
                    origin,
                    record,
                    &Bare {
                        op: "tombstone",
                        id,
                        raw_key,
                        raw: None,
                        error: None,
                    },
                )?;
                Ok(Row::Whole)
            }
            Err(reason) => self.unreadable(origin, record, None, &format!("key: {reason}")),
        }
    }

    /// An event that cannot be read; its key may say of which row it is.
    fn damaged(&mut self, origin: Origin<'_>, record: &Message, reason: &str) -> Result<Row, RowError> {
        let id = record.key.as_ref().map(|key| self.schemas.id(key)).transpose()?;
        self.unreadable(origin, record, id.and_then(Result::ok).flatten(), reason)
    }

    fn unreadable(&mut self, origin: Origin<'_>, record: &Message, id: Option<i64>, reason: &str) -> Result<Row, RowError> {
        let bare = Bare {
            op: "undecodable",
            id,
            raw_key: record.key.as_deref(),
            raw: record.value.as_deref(),
            error: Some(reason),
        };
        self.push_bare(origin, record, &bare)?;
        Ok(Row::Undecodable)
    }

    fn push_bare(&mut self, origin: Origin<'_>, record: &Message, bare: &Bare<'_>) -> Result<(), RowError> {
        let mut cells = vec![Cell::Null; self.columns.columns().len()];
        cells[0] = self.id_cell(bare.id);
        let common = cells.len() - COMMON.len();
        cells[common] = Cell::Text(bare.op.into());
        let end = cells.len();
        let from = cells[end - 6..].iter_mut();
        from.zip(place(origin, record)).for_each(|(cell, value)| *cell = value);
        cells[end - 3] = Cell::binary(bare.raw_key);
        cells[end - 2] = Cell::binary(bare.raw);
        cells[end - 1] = Cell::text(bare.error);
        self.columns.push(&cells).map_err(RowError::Table)
    }
}

/// The memory of a row, for another one.
fn emptied<'a>(mut cells: Vec<Cell<'_>>) -> Vec<Cell<'a>> {
    cells.clear();
    cells.into_iter().map(|_| Cell::Null).collect()
}

fn all_columns(shape: &Shape) -> Vec<Column> {
    shape.columns().iter().chain(COMMON).cloned().collect()
}

fn place<'a>(origin: Origin<'a>, record: &Message) -> [Cell<'a>; 3] {
    [
        Cell::Text(origin.topic.into()),
        Cell::Int(i64::from(origin.partition)),
        Cell::Int(record.offset),
    ]
}

/// Values that their columns cannot hold: `{"column": "text"}`.
#[derive(Default)]
struct Unparsed(Vec<u8>);

impl Unparsed {
    fn add(&mut self, column: &str, text: &str) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        value::json_text(column, &mut self.0);
        self.0.push(b':');
        value::json_text(text, &mut self.0);
    }

    fn finish(mut self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        self.0.push(b'}');
        String::from_utf8(self.0).ok()
    }
}

impl Rows for BronzeRows {
    fn push(&mut self, origin: Origin<'_>, record: &Message) -> Result<Row, RowError> {
        let Some(bytes) = &record.value else {
            return self.tombstone(origin, record);
        };
        let (id, datum) = match framing(record, bytes) {
            Ok(framed) => framed,
            Err(error) => return self.damaged(origin, record, &error.to_string()),
        };
        let known = self.known.take().filter(|(known, _)| *known == id).map(|(_, schema)| schema);
        let schema = match known.map_or_else(|| self.schemas.event(id), |schema| Ok(Ok(schema)))? {
            Ok(schema) => schema,
            Err(reason) => return self.damaged(origin, record, &reason),
        };
        let pushed = match schema.read(datum) {
            Ok(event) => self.push_event(origin, record, id, &schema, &event),
            Err(error) => self.damaged(origin, record, &format!("malformed: schema {id}: {error}")),
        };
        self.known = Some((id, schema));
        pushed
    }

    fn schema(&self) -> SchemaRef {
        self.columns.schema()
    }

    fn len(&self) -> usize {
        self.columns.len()
    }

    fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        self.settled = true;
        self.columns.take()
    }

    fn next(&self) -> Option<Box<dyn Rows>> {
        let Some(refused) = &self.refused else {
            // A file of tombstones alone says nothing about the columns.
            let shape = match self.seen.columns() {
                [] => self.shape.clone(),
                seen => Shape::of(self.least, seen),
            };
            return Some(self.successor(shape, false));
        };
        // A shape that is there for good gets files of its own; two that take turns get one together.
        let shape = match self.after_cut {
            true => self.shape.clone().with(refused),
            false => Shape::of(self.least, refused),
        };
        Some(self.successor(shape, true))
    }

    fn wider(&self) -> Option<Box<dyn Rows>> {
        let refused = self.refused.as_deref().unwrap_or_default();
        Some(self.successor(self.shape.clone().with(refused), true))
    }
}
