//! An Iceberg table's columns, and how they follow those of the files.
//!
//! Files have no field ids: readers find their columns by the names in the property `schema.name-mapping.default`. So a catalog may
//! give the fields whatever ids it likes, and files of years ago are read as well.

use std::fmt;

use arrow::datatypes::{DataType, Schema as ArrowSchema, TimeUnit};
use serde_json::{Value, json};

/// The property that maps the columns of files without field ids.
pub const NAME_MAPPING: &str = "schema.name-mapping.default";

/// The type of a column that the lake's files have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// True or false.
    Boolean,
    /// A 32-bit whole number.
    Int,
    /// A 64-bit whole number.
    Long,
    /// A 32-bit float.
    Float,
    /// A 64-bit float.
    Double,
    /// A decimal.
    Decimal {
        /// All digits.
        digits: u8,
        /// Those after the point.
        scale: u8,
    },
    /// A day.
    Date,
    /// An instant, in microseconds.
    Timestamptz,
    /// UTF-8.
    String,
    /// Bytes.
    Binary,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Boolean => f.write_str("boolean"),
            Type::Int => f.write_str("int"),
            Type::Long => f.write_str("long"),
            Type::Float => f.write_str("float"),
            Type::Double => f.write_str("double"),
            Type::Decimal { digits, scale } => write!(f, "decimal({digits}, {scale})"),
            Type::Date => f.write_str("date"),
            Type::Timestamptz => f.write_str("timestamptz"),
            Type::String => f.write_str("string"),
            Type::Binary => f.write_str("binary"),
        }
    }
}

impl Type {
    /// The type that a metadata file names; `None` for those that no file of the lake has.
    pub fn parse(text: &str) -> Option<Self> {
        let decimal = |text: &str| {
            let (digits, scale) = text.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
            Some(Type::Decimal {
                digits: digits.trim().parse().ok()?,
                scale: scale.trim().parse().ok()?,
            })
        };
        Some(match text {
            "boolean" => Type::Boolean,
            "int" => Type::Int,
            "long" => Type::Long,
            "float" => Type::Float,
            "double" => Type::Double,
            "date" => Type::Date,
            "timestamptz" => Type::Timestamptz,
            "string" => Type::String,
            "binary" => Type::Binary,
            other => decimal(other)?,
        })
    }

    /// The type of a file's column.
    pub fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Type::Boolean,
            DataType::Int32 => Type::Int,
            DataType::Int64 => Type::Long,
            DataType::Float32 => Type::Float,
            DataType::Float64 => Type::Double,
            DataType::Decimal128(digits, scale) => Type::Decimal {
                digits: *digits,
                scale: u8::try_from(*scale).ok()?,
            },
            DataType::Date32 => Type::Date,
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Type::Timestamptz,
            DataType::Utf8 => Type::String,
            DataType::Binary => Type::Binary,
            _ => return None,
        })
    }

    /// The type of a column that has values of both, where readers promote one to the other.
    fn with(self, other: Type) -> Option<Type> {
        match (self, other) {
            (one, same) if one == same => Some(one),
            (Type::Int | Type::Long, Type::Int | Type::Long) => Some(Type::Long),
            (Type::Float | Type::Double, Type::Float | Type::Double) => Some(Type::Double),
            (
                Type::Decimal { digits, scale },
                Type::Decimal {
                    digits: others,
                    scale: same,
                },
            ) if scale == same => Some(Type::Decimal {
                digits: digits.max(others),
                scale,
            }),
            _ => None,
        }
    }
}

/// A column of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its id.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// Its type; `None` if another writer has added one that no file of ours has.
    pub kind: Option<Type>,
    /// The names that it has in files.
    pub names: Vec<String>,
    /// As the metadata have it.
    json: Value,
}

/// The columns of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    /// In the table's order.
    pub fields: Vec<Field>,
    /// The highest id that was ever given.
    pub last_id: i32,
    /// The schema's other properties, of the metadata.
    json: Value,
}

/// A column whose values the table's column cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column} of {file} is {found}, and the table's {expected}: Iceberg cannot read both as one column")]
pub struct Mismatch {
    /// The column.
    pub column: String,
    /// The file.
    pub file: String,
    /// The file's type.
    pub found: String,
    /// The table's type.
    pub expected: String,
}

impl Columns {
    /// The columns of a new table.
    pub fn declared(shape: &ArrowSchema, table: &str) -> Result<Self, Mismatch> {
        let mut columns = Self {
            fields: Vec::new(),
            last_id: 0,
            json: json!({"type": "struct", "schema-id": 0, "identifier-field-ids": []}),
        };
        columns.take(shape, table)?;
        Ok(columns)
    }

    /// The columns that metadata have; `mapping` is their name mapping.
    pub fn read(schema: &Value, mapping: Option<&str>, last_id: i32) -> Option<Self> {
        let mapping: Vec<Value> = mapping.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let names = |id: i32| -> Vec<String> {
            let mapped = mapping.iter().find(|entry| entry["field-id"] == id);
            let names = mapped.and_then(|entry| entry["names"].as_array());
            let texts = names.into_iter().flatten().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        };
        let fields = schema["fields"].as_array()?.iter().map(|field| {
            let id = i32::try_from(field["id"].as_i64()?).ok()?;
            Some(Field {
                id,
                name: field["name"].as_str()?.to_owned(),
                kind: field["type"].as_str().and_then(Type::parse),
                names: names(id),
                json: field.clone(),
            })
        });
        let mut json = schema.clone();
        json.as_object_mut()?.remove("fields");
        Some(Self {
            fields: fields.collect::<Option<_>>()?,
            last_id,
            json,
        })
    }

    /// Takes the columns of a file in: those that it lacks, and wider types. Returns whether anything changed.
    pub fn take(&mut self, shape: &ArrowSchema, file: &str) -> Result<bool, Mismatch> {
        let mut changed = false;
        for column in shape.fields() {
            let mismatch = |found: String, expected: String| Mismatch {
                column: column.name().clone(),
                file: file.to_owned(),
                found,
                expected,
            };
            let unreadable = || mismatch(column.data_type().to_string(), "of Iceberg's types".to_owned());
            let kind = Type::of(column.data_type()).ok_or_else(unreadable)?;
            let is_it =
                |field: &&mut Field| field.names.contains(column.name()) || field.name.eq_ignore_ascii_case(column.name());
            match self.fields.iter_mut().find(is_it) {
                Some(field) => {
                    let both = field.kind.and_then(|own| own.with(kind));
                    let theirs = || {
                        field
                            .kind
                            .map_or_else(|| field.json["type"].to_string(), |own| own.to_string())
                    };
                    let both = both.ok_or_else(|| mismatch(kind.to_string(), theirs()))?;
                    if field.kind != Some(both) {
                        field.kind = Some(both);
                        field.json["type"] = both.to_string().into();
                        changed = true;
                    }
                    if !field.names.contains(column.name()) {
                        field.names.push(column.name().clone());
                        changed = true;
                    }
                }
                None => {
                    self.last_id += 1;
                    let (id, name) = (self.last_id, column.name().clone());
                    self.fields.push(Field {
                        id,
                        json: json!({"id": id, "name": name, "required": false, "type": kind.to_string()}),
                        names: vec![name.clone()],
                        name,
                        kind: Some(kind),
                    });
                    changed = true;
                }
            }
        }
        Ok(changed)
    }

    /// The field of a file's column.
    pub fn of(&self, column: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.names.iter().any(|name| name == column))
    }

    /// As a schema of the metadata, of this id.
    pub fn schema(&self, id: i64) -> Value {
        let mut schema = self.json.clone();
        schema["schema-id"] = id.into();
        schema["fields"] = self.fields.iter().map(|field| field.json.clone()).collect();
        schema
    }

    /// As a name mapping.
    pub fn mapping(&self) -> String {
        let fields = self.fields.iter().filter(|field| !field.names.is_empty());
        let fields: Value = fields
            .map(|field| json!({"field-id": field.id, "names": field.names}))
            .collect();
        fields.to_string()
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field as Column;

    use super::*;

    fn shape(columns: &[(&str, DataType)]) -> ArrowSchema {
        let columns = columns.iter().map(|(name, kind)| Column::new(*name, kind.clone(), true));
        ArrowSchema::new(columns.collect::<Vec<_>>())
    }

    #[test]
    fn files_widen_a_table_and_never_narrow_it() {
        let mut columns = Columns::declared(&shape(&[("id", DataType::Int32), ("m", DataType::Decimal128(18, 4))]), "t").unwrap();
        let wider = shape(&[
            ("id", DataType::Int64),
            ("M", DataType::Decimal128(20, 4)),
            ("new", DataType::Utf8),
        ]);
        assert_eq!(columns.take(&wider, "f"), Ok(true));
        assert_eq!(columns.take(&wider, "f"), Ok(false));
        assert_eq!(columns.take(&shape(&[("id", DataType::Int32)]), "f"), Ok(false));
        let kinds: Vec<_> = columns.fields.iter().map(|field| field.kind.unwrap().to_string()).collect();
        assert_eq!(kinds, ["long", "decimal(20, 4)", "string"]);
        assert_eq!(columns.of("M").unwrap().id, 2);
        let again = Columns::read(&columns.schema(3), Some(&columns.mapping()), 3).unwrap();
        assert_eq!(again.fields, columns.fields);
        assert_eq!(again.schema(3), columns.schema(3));
    }

    #[test]
    fn a_column_of_another_type_is_named() {
        let mut columns = Columns::declared(&shape(&[("m", DataType::Decimal128(18, 4))]), "t").unwrap();
        for other in [DataType::Decimal128(18, 2), DataType::Utf8, DataType::Int64] {
            let refused = columns.take(&shape(&[("m", other)]), "f").unwrap_err().to_string();
            assert!(
                refused.contains("column m of f is") && refused.contains("decimal(18, 4)"),
                "{refused}"
            );
        }
    }
}
