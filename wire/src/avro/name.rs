//! Whether what somebody wrote is what a type reads: records are told by their names.
//!
//! By its fields alone a customer's change event could be read as an account's: all that it lacks is optional.

use std::sync::OnceLock;

use apache_avro::Schema;

use super::plan::{Node, Plan};

/// What was found out about a plan, once for each type that was ever read by it: a list that only grows, to as many as the
/// program has types. Reading it takes no lock.
#[derive(Default)]
pub(crate) struct Fits(OnceLock<Box<Link>>);

struct Link {
    /// The type's own schema.
    schema: &'static str,
    /// Where the plan is none of its: the name that it needs.
    needs: Option<String>,
    next: Fits,
}

impl Plan {
    /// Whether a type with this schema may be read by the plan; if not, the name that the type needs.
    #[inline]
    pub fn fits(&self, schema: &'static str) -> Result<(), &str> {
        let mut fits = &self.fits;
        loop {
            let link = fits.0.get_or_init(|| {
                Box::new(Link {
                    schema,
                    needs: needs(schema, self.record.as_deref()),
                    next: Fits::default(),
                })
            });
            // What lives for ever is the same whenever place and length are.
            if std::ptr::eq(link.schema, schema) {
                return link.needs.as_deref().map_or(Ok(()), Err);
            }
            fits = &link.next;
        }
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
