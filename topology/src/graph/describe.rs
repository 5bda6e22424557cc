//! The topology in words, in the layout that users of Kafka Streams know.

use std::fmt;

use super::{Kind, Topology};

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Topologies:")?;
        for (number, sub) in self.subs.iter().enumerate() {
            writeln!(f, "   Sub-topology: {number} ({})", sub.name)?;
            for &id in &sub.nodes {
                let node = &self.nodes[id];
                match &node.kind {
                    Kind::Source { topic } => writeln!(f, "    Source: {} (topics: [{topic}])", node.name)?,
                    Kind::Matching { expression } => writeln!(f, "    Source: {} (topics: {expression})", node.name)?,
                    Kind::Sink { topic } => writeln!(f, "    Sink: {} (topic: {topic})", node.name)?,
                    Kind::Operator => writeln!(f, "    Processor: {} (stores: [])", node.name)?,
                    Kind::Processor { stores, .. } => {
                        writeln!(f, "    Processor: {} (stores: [{}])", node.name, stores.join(", "))?
                    }
                }
                let children: Vec<&str> = node.children.iter().flatten().map(|&c| self.nodes[c].name.as_str()).collect();
                if !children.is_empty() {
                    writeln!(f, "      --> {}", children.join(", "))?;
                }
            }
            for &store in &sub.stores {
                let store = &self.stores[store];
                let changelog = store.changelog_topic(&self.application);
                let changelog = changelog.as_deref().unwrap_or("none");
                writeln!(f, "    Store: {} (changelog: {changelog})", store.name)?;
            }
        }
        Ok(())
    }
}

impl Topology {
    /// The topology as a graph in the DOT language, for a picture.
    pub fn to_dot(&self) -> String {
        let mut dot = String::from("digraph topology {\n  rankdir=LR;\n");
        for (number, sub) in self.subs.iter().enumerate() {
            dot.push_str(&format!("  subgraph cluster_{number} {{ label={:?};\n", sub.name));
            for &id in &sub.nodes {
                let shape = match self.nodes[id].kind {
                    Kind::Source { .. } | Kind::Matching { .. } | Kind::Sink { .. } => "cds",
                    Kind::Operator => "box",
                    Kind::Processor { .. } => "box3d",
                };
                dot.push_str(&format!("    {:?} [shape={shape}];\n", self.nodes[id].name));
            }
            dot.push_str("  }\n");
        }
        for node in &self.nodes {
            for &child in node.children.iter().flatten() {
                dot.push_str(&format!("  {:?} -> {:?};\n", node.name, self.nodes[child].name));
            }
            if let Kind::Sink { topic } = node.kind {
                for source in self.nodes.iter().filter(|n| n.kind == Kind::Source { topic }) {
                    dot.push_str(&format!("  {:?} -> {:?} [style=dashed];\n", node.name, source.name));
                }
            }
        }
        dot.push_str("}\n");
        dot
    }
}
