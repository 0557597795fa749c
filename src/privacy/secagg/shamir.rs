//! Shamir's secret sharing (1979) over the prime field of 2^61 − 1: a given number of shares
//! suffices to recover a secret, and fewer reveal nothing.

use crate::sim::rng::{below, Stream};

/// The prime 2^61 − 1.
const P: u64 = (1 << 61) - 1;

/// The number of field elements of a secret of 32 bytes: four with 7 bytes each, and one with 4.
const LIMBS: usize = 5;

/// The bytes of a share on the wire.
pub const SHARE_BYTES: u64 = 8 * LIMBS as u64;

/// A secret of 32 bytes.
pub type Secret = [u8; 32];

/// A share: the value of each of the secret's polynomials at one point.
pub type Share = [u64; LIMBS];

fn add(a: u64, b: u64) -> u64 {
    let sum = a + b;
    if sum >= P {
        sum - P
    } else {
        sum
    }
}

fn mul(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    add((product as u64) & P, (product >> 61) as u64)
}

fn inverse(a: u64) -> u64 {
    // The inverse is a^(p − 2), computed by repeated squaring.
    let (mut power, mut square, mut rest) = (1, a, P - 2);
    while rest > 0 {
        if rest & 1 == 1 {
            power = mul(power, square);
        }
        square = mul(square, square);
        rest >>= 1;
    }
    power
}

fn limbs(secret: &Secret) -> Share {
    let mut limbs = [0; LIMBS];
    for (limb, bytes) in limbs.iter_mut().zip(secret.chunks(7)) {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        *limb = u64::from_le_bytes(word);
    }
    limbs
}

/// The secret that these field elements stand for; `None` if they stand for no secret.
fn secret(limbs: &Share) -> Option<Secret> {
    let mut secret = [0; 32];
    for (bytes, limb) in secret.chunks_mut(7).zip(limbs) {
        let word = limb.to_le_bytes();
        let (kept, rest) = word.split_at(bytes.len());
        if rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.copy_from_slice(kept);
    }
    Some(secret)
}

/// Random polynomials whose values at 0 are the field elements of the secret.
#[derive(Debug, Clone)]
pub struct Polynomial {
    /// The coefficients, constant terms first.
    terms: Vec<Share>,
}

impl Polynomial {
    /// Polynomials of degree `least` − 1, so that `least` shares suffice to recover the secret.
    pub fn new(value: &Secret, least: usize, rng: &mut Stream) -> Self {
        let mut terms = vec![limbs(value)];
        terms.extend((1..least).map(|_| std::array::from_fn(|_| below(rng, P))));
        Self { terms }
    }

    /// The share of the holder at the point `x`, which must not be 0.
    pub fn share(&self, x: u64) -> Share {
        // The polynomials are evaluated by Horner's rule.
        let mut value = [0; LIMBS];
        for term in self.terms.iter().rev() {
            for (value, term) in value.iter_mut().zip(term) {
                *value = add(mul(*value, x), *term);
            }
        }
        value
    }
}

/// The factors by which the shares of given holders are multiplied to recover a secret.
#[derive(Debug)]
pub struct Interpolation(Vec<u64>);

impl Interpolation {
    /// The factors for holders at the points `xs`, all different and none 0: Lagrange's polynomials
    /// at 0.
    pub fn at(xs: &[u64]) -> Self {
        let factor = |x: &u64| {
            let others = xs.iter().filter(|other| *other != x);
            let (above, below) = others.fold((1, 1), |(above, below), other| {
                let difference = add(*other, P - x);
                (mul(above, *other), mul(below, difference))
            });
            mul(above, inverse(below))
        };
        Self(xs.iter().map(factor).collect())
    }

    /// The secret of `shares`, which are in the order of the holders; `None` if they belong to no
    /// secret.
    pub fn secret(&self, shares: &[Share]) -> Option<Secret> {
        if shares.len() != self.0.len() {
            return None;
        }
        let mut sum = [0; LIMBS];
        for (factor, share) in self.0.iter().zip(shares) {
            for (sum, value) in sum.iter_mut().zip(share) {
                *sum = add(*sum, mul(*factor, *value));
            }
        }
        secret(&sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::rng::{shuffle, stream, Purpose};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_so_many_shares_give_the_secret_and_one_fewer_something_else(
            value: [u8; 32], n in 2usize..20, seed: u64,
        ) {
            let mut rng = stream(seed, 1, Purpose::Privacy, 1);
            let least = 2 + (seed as usize % (n - 1));
            let polynomial = Polynomial::new(&value, least, &mut rng);
            let mut xs: Vec<u64> = (1..=n as u64).collect();
            shuffle(&mut rng, &mut xs);
            let found = |count: usize| {
                let shares: Vec<Share> = xs[..count].iter().map(|x| polynomial.share(*x)).collect();
                Interpolation::at(&xs[..count]).secret(&shares)
            };
            prop_assert_eq!(found(least), Some(value));
            prop_assert_eq!(found(n), Some(value));
            prop_assert_ne!(found(least - 1), Some(value));
        }

        #[test]
        fn the_field_is_a_field(a in 1..P, b in 1..P, c in 0..P) {
            prop_assert_eq!(mul(a, inverse(a)), 1);
            let exact = (u128::from(a) * u128::from(b) % u128::from(P)) as u64;
            prop_assert_eq!(mul(a, b), exact);
            prop_assert_eq!(mul(a, add(b, c)), add(mul(a, b), mul(a, c)));
        }
    }

    /// With any one share missing every secret is as likely: what is left fits all of them.
    #[test]
    fn too_few_shares_fit_any_secret() {
        let mut rng = stream(1, 1, Purpose::Privacy, 1);
        let polynomial = Polynomial::new(&[7; 32], 3, &mut rng);
        let known = [polynomial.share(1), polynomial.share(2)];
        for other in [[0; 32], [255; 32]] {
            // A third share exists with which the two give the other secret.
            let factors = Interpolation::at(&[1, 2, 3]).0;
            let target = limbs(&other);
            let third: Share = std::array::from_fn(|i| {
                let rest = add(mul(factors[0], known[0][i]), mul(factors[1], known[1][i]));
                mul(add(target[i], P - rest), inverse(factors[2]))
            });
            let shares = [known[0], known[1], third];
            assert_eq!(Interpolation::at(&[1, 2, 3]).secret(&shares), Some(other));
        }
    }
}
