//! Quantities, times, cron expressions and numbers with units.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skiff::object::cron::Schedule;
use skiff::object::{Quantity, Timestamp};

fuzz_target!(|text: &str| {
    if let Ok(quantity) = Quantity::parse(text) {
        quantity.value();
        quantity.millis();
        quantity.approximate();
        let written = Quantity::normalize(text).expect("parses");
        assert_eq!(Quantity::normalize(&written).expect("what was written can be read"), written, "{text}");
    }
    if let Some(time) = Timestamp::parse(text) {
        time.rfc1123();
        time.micros();
        assert_eq!(Timestamp::parse(&time.micros()).map(Timestamp::micros), Some(time.micros()));
    }
    let _ = Schedule::parse(text);
});
