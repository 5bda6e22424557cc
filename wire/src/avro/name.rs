//! Whether what somebody wrote is what a type reads: records are matched by their names.
//!
//! By its fields alone a customer's change event could be read as an account's: all that it lacks is optional.

use apache_avro::Schema;

use super::found::Fit;
use super::plan::{Node, Plan};

impl Plan {
    /// Whether a type with this schema may be read by the plan; if not, the name that the type needs.
    #[inline]
    pub fn fits(&self, schema: &'static str) -> Result<(), &str> {
        let found = self.fits.of(schema, || Fit {
            schema,
            needs: needs(schema, self.record.as_deref()),
        });
        found.needs.as_deref().map_or(Ok(()), Err)
    }

    /// The scales of its decimals, in order.
    pub fn scales(&self) -> Vec<u32> {
        let scale = |node: &Node| match node {
            Node::Decimal(scale) => Some(*scale),
            Node::FixedDecimal(fixed) => Some(fixed.scale),
            _ => None,
        };
        self.nodes.iter().filter_map(scale).collect()
    }

    /// What it is called in an error.
    pub fn name(&self) -> &str {
        self.record.as_deref().unwrap_or_else(|| self.node(self.root).label())
    }
}

/// The name that a type needs, unless the written record has it, or one of its aliases. Types other than records need none.
#[cold]
fn needs(schema: &str, written: Option<&str>) -> Option<String> {
    let Ok(Schema::Record(own)) = Schema::parse_str(schema) else {
        return None;
    };
    let name = own.name.fullname(None);
    let mut aliases = own.aliases.iter().flatten();
    let has_it = |written| name == written || aliases.any(|alias| alias.fullname(own.name.namespace()) == written);
    (!written.is_some_and(has_it)).then_some(name)
}

/// The full name of a schema that is a record, or a record or null.
pub(super) fn record_name(schema: &Schema) -> Option<String> {
    match schema {
        Schema::Record(record) => Some(record.name.fullname(None)),
        Schema::Union(union) => {
            let mut others = union.variants().iter().filter(|variant| !matches!(variant, Schema::Null));
            match (others.next(), others.next()) {
                (Some(Schema::Record(record)), None) => Some(record.name.fullname(None)),
                _ => None,
            }
        }
        _ => None,
    }
}
