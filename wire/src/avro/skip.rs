//! Stepping over what nobody wants. Its extent is checked, its content is not: text in it need not be UTF-8.

use super::error::{Error, Result};
use super::input::{self, Input};
use super::plan::{Node, Plan};
use super::step::{NodeId, Step};

/// Records are flattened up to so many fields.
const MOST_FIELDS: usize = 256;

/// Adds the steps over a value.
pub(crate) fn add_steps(plan: &Plan, id: NodeId, steps: &mut Vec<Step>) {
    let mut fields_left = MOST_FIELDS;
    add(plan, id, &mut fields_left, steps);
}

fn add(plan: &Plan, id: NodeId, fields_left: &mut usize, steps: &mut Vec<Step>) {
    let step = match plan.node(id) {
        Node::Record(record) if record.fields.len() <= *fields_left => {
            *fields_left -= record.fields.len();
            for field in &record.fields {
                add(plan, field.node, fields_left, steps);
            }
            return;
        }
        Node::Union(union) => match union
            .optional
            .map(|optional| (optional.none, simple(plan.node(optional.node))))
        {
            Some((none, Some(Step::Varint))) => Step::OptionalVarint(none),
            Some((none, Some(Step::Prefixed))) => Step::OptionalPrefixed(none),
            _ => Step::Node(id),
        },
        node => simple(node).unwrap_or(Step::Node(id)),
    };
    match (steps.last_mut(), step) {
        (_, Step::Bytes(0)) => {}
        (Some(Step::Bytes(before)), Step::Bytes(count)) if before.checked_add(count).is_some() => *before += count,
        _ => steps.push(step),
    }
}

/// The step over a type that is not made of others.
fn simple(node: &Node) -> Option<Step> {
    Some(match node {
        Node::Null => Step::Bytes(0),
        Node::Boolean => Step::Bytes(1),
        Node::Float => Step::Bytes(4),
        Node::Double => Step::Bytes(8),
        Node::Fixed(fixed) => Step::Bytes(fixed.size),
        Node::FixedDecimal(fixed) => Step::Bytes(fixed.size),
        Node::Int | Node::Long | Node::Enum(_) => Step::Varint,
        Node::Bytes | Node::String | Node::Decimal(_) => Step::Prefixed,
        Node::Array(_) | Node::Map(_) | Node::Union(_) | Node::Record(_) => return None,
    })
}

/// Takes the steps, with values at most so deep in each other.
pub(crate) fn run<'de>(steps: &[Step], plan: &Plan, input: &mut Input<'de>, depth: u32) -> Result<()> {
    // A copy, which stays in registers from step to step.
    let mut rest = input.rest();
    for step in steps {
        rest = match *step {
            Step::Bytes(count) => rest.get(count..).ok_or_else(Error::ends)?,
            Step::Varint => input::after_varint(rest)?,
            Step::Prefixed => input::after_prefixed(rest)?,
            Step::OptionalVarint(none) => match some(rest, none)? {
                (rest, true) => input::after_varint(rest)?,
                (rest, false) => rest,
            },
            Step::OptionalPrefixed(none) => match some(rest, none)? {
                (rest, true) => input::after_prefixed(rest)?,
                (rest, false) => rest,
            },
            Step::Node(id) => {
                input.go_on(rest);
                skip(plan, id, input, depth)?;
                input.rest()
            }
        };
    }
    input.go_on(rest);
    Ok(())
}

/// Whether an optional value is there.
#[inline(always)]
fn some(rest: &[u8], none: u64) -> Result<(&[u8], bool)> {
    match rest {
        [0, rest @ ..] => Ok((rest, none != 0)),
        [2, rest @ ..] => Ok((rest, none != 1)),
        _ => some_at_length(rest, none),
    }
}

#[cold]
fn some_at_length(rest: &[u8], none: u64) -> Result<(&[u8], bool)> {
    let mut input = Input::new(rest);
    match input.index()? {
        index @ (0 | 1) => Ok((input.rest(), index != none)),
        index => Err(no_variant(index)),
    }
}

#[cold]
pub(crate) fn no_variant(index: u64) -> Error {
    Error::new(format!("a union has no variant {index}"))
}

#[cold]
pub(crate) fn too_deep() -> Error {
    Error::new("values lie too deep in each other")
}

fn skip(plan: &Plan, id: NodeId, input: &mut Input<'_>, depth: u32) -> Result<()> {
    skip_node(plan, plan.node(id), input, depth)
}

/// Steps over a value.
pub(crate) fn skip_node(plan: &Plan, node: &Node, input: &mut Input<'_>, depth: u32) -> Result<()> {
    if let Some(step) = simple(node) {
        return run(&[step], plan, input, depth);
    }
    if let Node::Union(union) = node {
        let index = input.index()?;
        let variant = usize::try_from(index).ok().and_then(|index| union.variants.get(index));
        return skip(plan, *variant.ok_or_else(|| no_variant(index))?, input, depth);
    }
    let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
    match node {
        Node::Record(record) => record
            .fields
            .iter()
            .try_for_each(|field| skip(plan, field.node, input, depth)),
        Node::Array(array) => skip_blocks(input, array.empty, |input| skip(plan, array.items, input, depth)),
        Node::Map(values) => skip_blocks(input, false, |input| {
            input.prefixed()?;
            skip(plan, *values, input, depth)
        }),
        _ => Ok(()),
    }
}

fn skip_blocks<'de>(input: &mut Input<'de>, empty: bool, mut item: impl FnMut(&mut Input<'de>) -> Result<()>) -> Result<()> {
    loop {
        match input.block(empty)? {
            (0, _) => return Ok(()),
            (_, Some(size)) => drop(input.take(size)?),
            (_, None) if empty => {}
            (count, None) => (0..count).try_for_each(|_| item(input))?,
        }
    }
}
