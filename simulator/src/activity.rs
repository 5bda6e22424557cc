//! Who is busy: Zipf's law.

use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Zipf};

/// Zipf's law over so many places, kept while their number stays.
#[derive(Debug, Clone, Copy)]
pub struct Activity {
    exponent: f64,
    places: usize,
    law: Option<Zipf<f64>>,
}

impl Activity {
    /// With this exponent, in hundredths.
    pub fn new(hundredths: u32) -> Self {
        Self {
            exponent: f64::from(hundredths) / 100.0,
            places: 0,
            law: None,
        }
    }

    /// A place from 0: the lower, the more often.
    pub fn draw(&mut self, rng: &mut ChaCha8Rng, places: usize) -> Option<usize> {
        if self.places != places {
            (self.places, self.law) = (places, Zipf::new(places as f64, self.exponent).ok());
        }
        let place = self.law?.sample(rng) as usize;
        Some(place.clamp(1, places) - 1)
    }
}
