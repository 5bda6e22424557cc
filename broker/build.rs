//! Compiles one file of librdkafka again, mended.
//!
//! A response to a fetch may name a partition's new leader, and a broker that is just coming back names -1: none. librdkafka
//! counts those among the changes and then leaves them out, so it reads as many entries more than it wrote, from memory that
//! nobody has set: a partition and a leader that are no numbers of anybody's, and an access far outside of an array when the
//! leader happens to be a broker's id. (confluentinc/librdkafka#5280; in 2.6 to 2.14 at least.) The object made here defines all
//! that the archive's own does and is linked as a whole before it, so that the linker takes nothing from that one.

use std::path::{Path, PathBuf};
use std::{env, fs};

const FILE: &str = "rdkafka_fetcher.c";
const COUNTED: &str = "TopicTags->partitions_with_leader_change_cnt++;";
const MENDED: &str = "if (PartitionTags->CurrentLeader.LeaderId >= 0)
                        TopicTags->partitions_with_leader_change_cnt++;";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_KAFKA").is_none() {
        return;
    }
    let Some(root) = env::var_os("DEP_RDKAFKA_ROOT").map(PathBuf::from) else {
        // A librdkafka that was not built here, such as a system's, is not ours to mend.
        println!("cargo:warning=librdkafka is not compiled here: see that it has the fix of confluentinc/librdkafka#5280");
        return;
    };
    let source = root.join("src").join(FILE);
    let text = fs::read_to_string(&source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    assert_eq!(
        text.matches(COUNTED).count(),
        1,
        "{} has changed: see whether leaders of -1 are still counted, and drop this file if not",
        source.display()
    );
    let mended = Path::new(&env::var_os("OUT_DIR").expect("cargo sets it")).join(FILE);
    fs::write(&mended, text.replace(COUNTED, MENDED)).unwrap_or_else(|error| panic!("{}: {error}", mended.display()));

    let mut build = cc::Build::new();
    build.file(&mended).include(root.join("src")).opt_level(2).warnings(false);
    for dependency in ["DEP_OPENSSL_ROOT", "DEP_Z_ROOT", "DEP_ZSTD_ROOT"] {
        if let Some(root) = env::var_os(dependency) {
            build.include(Path::new(&root).join("include"));
        }
    }
    build.link_lib_modifier("+whole-archive").compile("rdkafka_fetcher_mended");
}
