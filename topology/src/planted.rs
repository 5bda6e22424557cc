//! Mistakes that are planted into the engine on purpose, one at a time, to see that its tests find them.
//!
//! A build with the feature `planted` alone has them; in every other, [`planted`] is `false` at compile time.

/// Whether this mistake is to be made now, on this thread.
#[cfg(feature = "planted")]
pub(crate) fn planted(mistake: &str) -> bool {
    PLANTED.get() == Some(mistake)
}

/// Whether this mistake is to be made now: never.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub(crate) const fn planted(_: &str) -> bool {
    false
}

#[cfg(feature = "planted")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// From now on, the engines that this thread runs make this mistake; with `None`, none.
#[cfg(feature = "planted")]
pub fn plant(mistake: Option<&'static str>) {
    PLANTED.set(mistake);
}
