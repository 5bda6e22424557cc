//! Tells cargo that the migrations are embedded in the library: a new file alone must rebuild it.

fn main() {
    println!("cargo:rerun-if-changed=postgres");
}
