//! Writing quantities to a checkpoint, and reading them back.

use super::{Bytes, Distribution, Flops, Probability, Span, VirtualTime};
use crate::snapshot::{snapshot_enum, Damaged, Reader, Snapshot, Writer};

macro_rules! of_number {
    ($($type:ident: $get:expr, $make:expr;)+) => {$(
        impl Snapshot for $type {
            fn save(&self, to: &mut Writer) {
                let get: fn(&Self) -> u64 = $get;
                to.number(get(self));
            }

            fn load(from: &mut Reader) -> Result<Self, Damaged> {
                let make: fn(u64) -> Self = $make;
                from.number().map(make)
            }
        }
    )+};
}

of_number! {
    VirtualTime: |time| time.nanos(), Self::from_nanos;
    Span: |span| span.nanos(), Self::from_nanos;
    Bytes: |bytes| bytes.0, Self;
    Flops: |flops| flops.0, Self;
}

impl Snapshot for Probability {
    fn save(&self, to: &mut Writer) {
        self.get().save(to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        let p = f64::load(from)?;
        Self::new(p).map_err(|_| Damaged::new(format!("{p} is no probability")))
    }
}

snapshot_enum!(Distribution {
    0 => Constant(value),
    1 => Uniform { low, high },
    2 => Normal { mean, std },
    3 => LogNormal { median, sigma },
    4 => Exponential { min, mean },
    5 => Quantiles(values),
    6 => Mixture(parts),
});
