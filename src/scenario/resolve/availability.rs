//! When clients are there.

use super::Resolver;
use crate::availability::{
    read_trace, Availability, Charging, Day, Diurnal, Leaving, Markov, Trace, MOST_ZONE,
};
use crate::quantity::{Distribution, Probability, Span};
use crate::scenario::file::{AvailabilityFile, LeavingFile};
use crate::text::fields::{Duration, Fraction};
use std::path::PathBuf;

/// Sessions and absences are no shorter than this on average: what happens more often than a thousand
/// times a second is no client's coming and going.
const SHORTEST: f64 = 1e-3;

impl Resolver<'_> {
    /// When the clients of the group at `path` are there, and what becomes of their work when they go.
    pub(super) fn availability(
        &mut self,
        typed: AvailabilityFile,
        leaving: LeavingFile,
        path: &str,
    ) -> (Availability, Leaving) {
        let leaving = Leaving::from(leaving);
        let availability = self.kind(typed, &format!("{path}.availability"));
        if !leaving.is_continue() && !availability.is_timed() {
            let message =
                "clients that are there for whole rounds never leave in the middle of one: \
                           expected Continue, or an availability that goes by the clock such as \
                           Markov(on: \"10 min\", off: \"1 h\")";
            // Whether clients can leave at all depends on when they are there.
            let when = format!("{path}.availability");
            self.complain_reading(&[&when], &format!("{path}.leaving"), message);
        }
        (availability, leaving)
    }

    fn kind(&mut self, typed: AvailabilityFile, path: &str) -> Availability {
        match typed {
            AvailabilityFile::Always => Availability::Always,
            AvailabilityFile::Independent(p) => {
                if p.0 == Probability::ZERO {
                    self.complain(path, "0 is outside (0, 1]: nobody would ever be there");
                }
                Availability::Independent(p.0)
            }
            AvailabilityFile::Idl => Availability::Idl,
            AvailabilityFile::Homo(beta) => Availability::Homo(self.beta(beta, path)),
            AvailabilityFile::Ln(beta) => Availability::Ln(self.beta(beta, path)),
            AvailabilityFile::Sln(beta) => Availability::Sln(self.beta(beta, path)),
            AvailabilityFile::Ymf(beta) => Availability::Ymf(self.beta(beta, path)),
            AvailabilityFile::Mdf(beta) => Availability::Mdf(self.exponent(beta, path)),
            AvailabilityFile::Ldf(beta) => Availability::Ldf(self.exponent(beta, path)),
            AvailabilityFile::Yff(beta) => Availability::Yff(self.beta(beta, path)),
            AvailabilityFile::Yc(beta) => Availability::Yc(self.beta(beta, path)),
            AvailabilityFile::Markov { on, off } => {
                let law = Markov {
                    on: on.into_distribution(),
                    off: off.into_distribution(),
                };
                for (field, law) in [("on", &law.on), ("off", &law.off)] {
                    self.lasting(law, &format!("{path}.{field}"));
                }
                Availability::Markov(law)
            }
            AvailabilityFile::Diurnal {
                low,
                high,
                peak,
                hours,
                zones,
                day,
            } => {
                let day = self.day(zones, day, path);
                let wave = (low, high, peak);
                Availability::Diurnal(self.diurnal(wave, hours, day, path))
            }
            AvailabilityFile::Charging {
                plugged,
                lasts,
                skipped,
                zones,
                day,
            } => {
                let day = self.day(zones, day, path);
                let (plugged, lasts) = (plugged.into_distribution(), lasts.into_distribution());
                let length = day.length.seconds();
                if plugged.minimum() >= length {
                    let message = format!("expected a time of day, before {}", day.length);
                    self.complain(&format!("{path}.plugged"), message);
                }
                self.lasting(&lasts, &format!("{path}.lasts"));
                if skipped.0 == Probability::ONE {
                    let message = "1 is outside [0, 1): nobody would ever be there";
                    self.complain(&format!("{path}.skipped"), message);
                }
                Availability::Charging(Charging {
                    plugged,
                    lasts,
                    skipped: skipped.0,
                    day,
                })
            }
            AvailabilityFile::Trace { file, period } => self.trace(file, period, path),
            AvailabilityFile::Other(table) => {
                for (field, message) in table.get().check() {
                    self.complain(&format!("{path}.{field}"), message);
                }
                Availability::Other(table)
            }
        }
    }

    /// A β that weighs a rate.
    fn beta(&mut self, beta: f64, path: &str) -> f64 {
        if (0.0..1.0).contains(&beta) {
            return beta;
        }
        self.complain(path, format!("{beta} is outside [0, 1)"));
        0.0
    }

    /// A β that is an exponent.
    fn exponent(&mut self, beta: f64, path: &str) -> f64 {
        if (0.0..=100.0).contains(&beta) {
            return beta;
        }
        self.complain(path, format!("{beta} is outside [0, 100]"));
        0.0
    }

    fn lasting(&mut self, law: &Distribution, path: &str) {
        let mean = law.mean_length();
        // An infinite mean is a stretch that may never end; one that a draw in a million makes is no
        // mean of what there usually is.
        let usual = mean.min(law.usual_length());
        if mean.is_nan() || usual < SHORTEST {
            let found = Span::from_seconds(usual);
            let message = format!("expected 1 ms or more on average, found {found}");
            self.complain(path, message);
        }
    }

    fn day(&mut self, zones: Vec<f64>, length: Duration, path: &str) -> Day {
        if length.0.seconds() < 1.0 {
            let message = format!("expected a day of 1 s or more, found {}", length.0);
            self.complain(&format!("{path}.day"), message);
        }
        if zones.is_empty() {
            let message = "expected at least one time zone such as 0, found none";
            self.complain(&format!("{path}.zones"), message);
        }
        for (index, zone) in zones.iter().enumerate() {
            if !(-MOST_ZONE..=MOST_ZONE).contains(zone) {
                let path = format!("{path}.zones[{index}]");
                self.complain(
                    &path,
                    format!("{zone} is outside [-{MOST_ZONE}, {MOST_ZONE}] hours"),
                );
            }
        }
        Day {
            length: length.0.max(Span::from_secs(1)),
            zones,
        }
    }

    fn diurnal(
        &mut self,
        (low, high, peak): (Option<Fraction>, Option<Fraction>, Option<f64>),
        hours: Option<Vec<Fraction>>,
        day: Day,
        path: &str,
    ) -> Diurnal {
        let diurnal = match hours {
            Some(hours) => {
                let given = [
                    ("low", low.is_some()),
                    ("high", high.is_some()),
                    ("peak", peak.is_some()),
                ];
                for (field, _) in given.iter().filter(|(_, given)| *given) {
                    let message = "the hours say it all: expected none here";
                    self.complain(&format!("{path}.{field}"), message);
                }
                if hours.len() != 24 {
                    let message = format!("expected 24 probabilities, found {}", hours.len());
                    self.complain(&format!("{path}.hours"), message);
                }
                Diurnal {
                    shares: hours.iter().map(|share| share.0).collect(),
                    day,
                }
            }
            None => {
                let low = low.map_or(Probability::ZERO, |low| low.0);
                let high = high.map_or(Probability::ONE, |high| high.0);
                let peak = peak.unwrap_or(14.0);
                if low > high {
                    let (low, high) = (low.get(), high.get());
                    let message = format!("low is {low}, above high, which is {high}");
                    self.complain(&format!("{path}.low"), message);
                }
                if !(0.0..=24.0).contains(&peak) {
                    let message = format!("{peak} is outside [0, 24] hours");
                    self.complain(&format!("{path}.peak"), message);
                }
                Diurnal::wave(low, high, peak, day)
            }
        };
        if diurnal
            .shares
            .iter()
            .all(|share| *share == Probability::ZERO)
        {
            self.complain(
                path,
                "nobody would ever be there: expected a probability above 0",
            );
        }
        diurnal
    }

    fn trace(&mut self, file: PathBuf, period: Option<Duration>, path: &str) -> Availability {
        let (rows, content) = match read_trace(&self.base.join(&file)) {
            Ok(read) => read,
            Err(error) => {
                self.complain(&format!("{path}.file"), error.to_string());
                return Availability::Always;
            }
        };
        let period = period.map(|period| period.0);
        let last = rows.iter().map(crate::availability::TraceRow::end).max();
        let last = Span::from_nanos(last.unwrap_or(0));
        if let Some(period) = period.filter(|period| *period < last) {
            let message =
                format!("expected {last} or more, where the last interval ends, found {period}");
            self.complain(&format!("{path}.period"), message);
        }
        Availability::Trace(Trace {
            file,
            content,
            period,
            rows: rows.into(),
        })
    }
}
