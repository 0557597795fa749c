//! CSV files of rows: written through a buffer, flushed when asked, read back exactly.

use super::rows::Row;
use super::ObserveError;
use crate::disk::{open, regular};
use serde::de::DeserializeOwned;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// A CSV file that takes rows of one kind.
#[derive(Debug)]
pub struct Table<T> {
    path: PathBuf,
    writer: csv::Writer<File>,
    rows: PhantomData<fn(T)>,
}

impl<T: Row + Serialize> Table<T> {
    /// Makes the file, which must not exist, and writes its header to it at once.
    pub fn create(path: &Path) -> Result<Self, ObserveError> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|e| ObserveError::io(path, "create the file", e))?;
        Self::over(path, file)
    }

    /// Opens a file that was made before, and cuts it to its first `length` bytes ([`Table::sync`]).
    pub fn reopen(path: &Path, length: u64) -> Result<Self, ObserveError> {
        Ok(Self::onto(path, cut(path, length)?))
    }

    fn over(path: &Path, file: File) -> Result<Self, ObserveError> {
        let mut table = Self::onto(path, file);
        table
            .writer
            .write_record(T::COLUMNS)
            .map_err(|e| write_error(path, e))?;
        table.flush()?;
        Ok(table)
    }

    fn onto(path: &Path, file: File) -> Self {
        let writer = csv::WriterBuilder::new()
            .has_headers(false)
            .buffer_capacity(1 << 16)
            .from_writer(file);
        Self {
            path: path.to_path_buf(),
            writer,
            rows: PhantomData,
        }
    }

    /// Flushes everything so far to the disk; returns the number of bytes.
    pub fn sync(&mut self) -> Result<u64, ObserveError> {
        self.flush()?;
        length_on_disk(self.writer.get_ref())
            .map_err(|e| ObserveError::io(&self.path, "bring to the disk", e))
    }

    /// Adds a row; it reaches the file at the next flush at the latest.
    pub fn write(&mut self, row: &T) -> Result<(), ObserveError> {
        self.writer
            .serialize(row)
            .map_err(|e| write_error(&self.path, e))
    }

    /// Hands everything so far to the operating system, so that it outlives this process.
    pub fn flush(&mut self) -> Result<(), ObserveError> {
        self.writer
            .flush()
            .map_err(|e| ObserveError::io(&self.path, "write", e))
    }
}

/// Flushes a file to the disk; returns its length.
pub(super) fn length_on_disk(file: &File) -> std::io::Result<u64> {
    file.sync_data()?;
    Ok(file.metadata()?.len())
}

/// Opens a file for writing, and cuts it to its first `length` bytes.
pub(crate) fn cut(path: &Path, length: u64) -> Result<File, ObserveError> {
    let io = |action| move |e| ObserveError::io(path, action, e);
    let mut file = regular(OpenOptions::new().write(true), path).map_err(io("open"))?;
    let found = file.metadata().map_err(io("read"))?.len();
    if found < length {
        return Err(ObserveError::Short {
            path: path.to_path_buf(),
            expected: length,
            found,
        });
    }
    file.set_len(length).map_err(io("cut"))?;
    file.seek(SeekFrom::End(0)).map_err(io("write"))?;
    Ok(file)
}

fn write_error(path: &Path, error: csv::Error) -> ObserveError {
    let message = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(e) => ObserveError::io(path, "write", e),
        _ => ObserveError::Encode {
            path: path.to_path_buf(),
            what: "a row",
            message,
        },
    }
}

/// Calls `each` with every row of a file, in order, holding one row at a time.
///
/// A last line without its line break is what a killed process leaves of a row, so it is left out.
pub fn for_each_row<T, F>(path: &Path, mut each: F) -> Result<(), ObserveError>
where
    T: Row + DeserializeOwned,
    F: FnMut(T),
{
    let io = |e| ObserveError::io(path, "read", e);
    let mut file = open(path).map_err(|e| ObserveError::io(path, "open", e))?;
    let torn = is_torn(&mut file).map_err(io)?;
    let mut reader = csv::ReaderBuilder::new().from_reader(BufReader::new(file));
    let header = reader.headers().map_err(|e| read_error(path, e))?;
    if header.iter().ne(T::COLUMNS.iter().copied()) {
        return Err(ObserveError::Malformed {
            path: path.to_path_buf(),
            line: 1,
            message: format!("expected the columns {}", T::COLUMNS.join(",")),
        });
    }
    let mut rows = reader.deserialize::<T>().peekable();
    while let Some(row) = rows.next() {
        if torn && rows.peek().is_none() {
            break;
        }
        each(row.map_err(|e| read_error(path, e))?);
    }
    Ok(())
}

/// Every row of a file, in order.
pub fn read_rows<T: Row + DeserializeOwned>(path: &Path) -> Result<Vec<T>, ObserveError> {
    let mut rows = Vec::new();
    for_each_row(path, |row| rows.push(row))?;
    Ok(rows)
}

/// Whether the file ends in the middle of a line. Leaves the file at its start.
fn is_torn(file: &mut File) -> std::io::Result<bool> {
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(last != [b'\n'])
}

fn read_error(path: &Path, error: csv::Error) -> ObserveError {
    let line = error.position().map_or(1, csv::Position::line);
    let message = match error.kind() {
        csv::ErrorKind::Deserialize { err, .. } => err.to_string(),
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!("expected {expected_len} fields, found {len}"),
        csv::ErrorKind::Utf8 { .. } => "the text is not UTF-8".to_owned(),
        _ => error.to_string(),
    };
    match error.into_kind() {
        csv::ErrorKind::Io(e) => ObserveError::io(path, "read", e),
        _ => ObserveError::Malformed {
            path: path.to_path_buf(),
            line,
            message,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::{
        ClientAccuracyRow, ClientOutcome, ClientRow, CostRow, Outcome, RoundRow, SizeRow,
    };
    use super::*;
    use crate::quantity::{Span, VirtualTime};
    use proptest::prelude::*;

    const HEAD: &str =
        "round,client,group,correct,count,received_correct,trained_correct,trained_round\n";

    fn columns_of<T: Row + Serialize>(row: &T) -> (Vec<String>, &'static [&'static str]) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.serialize(row).unwrap();
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let header = text.lines().next().unwrap();
        (header.split(',').map(str::to_owned).collect(), T::COLUMNS)
    }

    fn client(group: &str, outcome: ClientOutcome) -> ClientRow {
        ClientRow {
            round: 3,
            client: 7,
            group: group.into(),
            outcome,
            invited: VirtualTime::from_nanos(1),
            received: Some(VirtualTime::from_nanos(20_000_000_001)),
            trained: None,
            reported: None,
            compute: Span::from_nanos(999_999_999),
            queue_wait: Span::ZERO,
            bytes_down: u64::MAX,
            bytes_up: 0,
            samples: 20,
            steps: 4,
            loss: Some(0.1 + 0.2),
            trained_accuracy: None,
            size: 1.0,
            flops: 0,
            memory_bytes: 0,
            energy_j: 0.0,
            received_accuracy: None,
            overhead_bytes: 0,
        }
    }

    #[test]
    fn column_names_are_the_fields_in_order() {
        let (found, declared) = columns_of(&RoundRow::default());
        assert_eq!(found, declared);
        let (found, declared) = columns_of(&client("a", ClientOutcome::Lost));
        assert_eq!(found, declared);
        let (found, declared) = columns_of(&ClientAccuracyRow {
            round: 1,
            client: 1,
            group: "a".into(),
            correct: Some(1),
            count: 2,
            received_correct: None,
            trained_correct: Some(2),
            trained_round: None,
        });
        assert_eq!(found, declared);
        let (found, declared) = columns_of(&CostRow::default());
        assert_eq!(found, declared);
        let (found, declared) = columns_of(&SizeRow {
            round: 1,
            size: 0.5,
            clients: 3,
            accuracy: None,
            loss: None,
            client_mean: None,
            received_mean: None,
            trained_mean: None,
        });
        assert_eq!(found, declared);
    }

    #[test]
    fn a_line_reads_as_documented() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clients.csv");
        let mut table = Table::create(&path).unwrap();
        table
            .write(&client(
                "phone, old",
                ClientOutcome::Refused("no \"room\"".into()),
            ))
            .unwrap();
        table.flush().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text.lines().nth(1).unwrap(),
            "3,7,\"phone, old\",\"refused: no \"\"room\"\"\",0.000000001,20.000000001,,,\
             0.999999999,0.000000000,18446744073709551615,0,20,4,0.30000000000000004,,1.0,0,0,0.0,,0"
        );
    }

    #[test]
    fn an_existing_file_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rounds.csv");
        std::fs::write(&path, "precious").unwrap();
        let error = Table::<RoundRow>::create(&path).unwrap_err().to_string();
        assert!(
            error.contains("rounds.csv: cannot create the file"),
            "{error}"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error_with_the_path_and_a_remedy() {
        let full = Path::new("/dev/full");
        let file = OpenOptions::new().write(true).open(full).unwrap();
        let error = Table::<RoundRow>::over(full, file).unwrap_err().to_string();
        assert!(error.starts_with("/dev/full: cannot write: "), "{error}");
        assert!(
            error.ends_with("free some space or choose a folder on another disk"),
            "{error}"
        );
    }

    #[test]
    fn a_row_torn_by_a_killed_process_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("accuracy.csv");
        // The torn row would read as a complete one with a smaller count.
        std::fs::write(&path, format!("{HEAD}1,0,a,3,40,,,\n1,1,a,3,40,2,39,1")).unwrap();
        let rows: Vec<ClientAccuracyRow> = read_rows(&path).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].client, rows[0].count), (0, 40));
        std::fs::write(&path, format!("{HEAD}1,0,a,3,40,,,\n1,1,a")).unwrap();
        assert_eq!(read_rows::<ClientAccuracyRow>(&path).unwrap().len(), 1);
    }

    #[test]
    fn a_lying_file_is_an_error_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("accuracy.csv");
        let error = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            read_rows::<ClientAccuracyRow>(&path)
                .unwrap_err()
                .to_string()
        };
        let head = HEAD;
        let found = error(format!("{head}1,0,a,3,40,,,\n1,1,a,-3,40,,,\n").as_bytes());
        assert!(found.contains("accuracy.csv:3: "), "{found}");
        let found = error(format!("{head}1,0,a\n").as_bytes());
        assert!(found.contains(":2: expected 8 fields, found 3"), "{found}");
        let found = error(b"a,b\n1,2\n");
        assert!(
            found.contains(":1: expected the columns round,client"),
            "{found}"
        );
        let found = error(&[head.as_bytes(), b"1,0,\xff\xfe,3,40,,,\n"].concat());
        assert!(found.contains("not UTF-8"), "{found}");
        let found = error(b"");
        assert!(found.contains(":1: expected the columns"), "{found}");
    }

    #[test]
    fn a_loss_that_is_not_a_number_survives_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rounds.csv");
        let mut table = Table::create(&path).unwrap();
        for loss in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            table
                .write(&RoundRow {
                    loss: Some(loss),
                    ..RoundRow::default()
                })
                .unwrap();
        }
        table.flush().unwrap();
        let losses: Vec<f64> = read_rows::<RoundRow>(&path)
            .unwrap()
            .iter()
            .map(|r| r.loss.unwrap())
            .collect();
        assert!(losses[0].is_nan());
        assert_eq!(losses[1..], [f64::INFINITY, f64::NEG_INFINITY]);
    }

    prop_compose! {
        fn any_round()(
            numbers in any::<[u32; 6]>(),
            times in any::<[u64; 5]>(),
            scores in any::<[Option<f64>; 9]>(),
            outcome in prop_oneof![
                Just(Outcome::Completed), Just(Outcome::Abandoned), Just(Outcome::Stopped),
                Just(Outcome::Crashed)
            ],
        ) -> RoundRow {
            let finite = |i: usize| scores[i].filter(|s| s.is_finite());
            RoundRow {
                round: numbers[0],
                started: VirtualTime::from_nanos(times[0]),
                ended: VirtualTime::from_nanos(times[1]),
                invited: numbers[1],
                reported: numbers[2],
                late_arrivals: numbers[3],
                refused: numbers[4],
                unanswered: numbers[5],
                accuracy: finite(0),
                loss: finite(1),
                train_loss: finite(2),
                client_mean: finite(3),
                client_std: finite(4),
                client_p5: finite(5),
                client_p95: finite(6),
                client_worst10: finite(7),
                bytes_down: times[2],
                bytes_up: times[3],
                server_compute: Span::from_nanos(times[4]),
                outcome,
                attack_success: finite(8),
                epsilon: finite(7),
                restored: scores[8].map(|_| numbers[1]),
                available: scores[7].map(|_| numbers[2]),
                staleness_mean: finite(6),
                staleness_max: scores[6].map(|_| numbers[2]),
                consensus_distance: finite(5),
                rejected: numbers[5],
                client_worst10_clients: scores[4].map(|_| numbers[3]),
                client_worst10_samples: scores[3].map(|_| times[2]),
                received_mean: finite(4),
                received_std: finite(3),
                received_p5: finite(2),
                received_p95: finite(1),
                received_worst10: finite(0),
                received_worst10_samples: scores[2].map(|_| times[1]),
                trained_mean: finite(8),
                trained_std: finite(7),
                trained_p5: finite(6),
                trained_p95: finite(5),
                trained_worst10: finite(4),
                trained_worst10_samples: scores[1].map(|_| times[0]),
                trained_worst10_clients: scores[0].map(|_| numbers[4]),
                trained_clients: scores[0].map(|_| numbers[5]),
                diverged: scores[1].map(|_| numbers[0]),
                server_flops: times[0],
                server_energy: scores[2].filter(|s| s.is_finite()).unwrap_or(0.5),
                select_accuracy: finite(1),
                select_loss: finite(2),
                statistics_bytes: scores[2].map(|_| times[3]),
                partial: scores[2].map(|_| numbers[1]),
            }
        }
    }

    prop_compose! {
        fn any_client()(
            group in any::<String>(),
            outcome in prop_oneof![
                Just(ClientOutcome::Reported),
                Just(ClientOutcome::Crashed),
                any::<String>().prop_map(|r| ClientOutcome::Refused(r.into())),
            ],
            times in any::<[Option<u64>; 3]>(),
            loss in any::<Option<f64>>(),
        ) -> ClientRow {
            ClientRow {
                received: times[0].map(VirtualTime::from_nanos),
                trained: times[1].map(VirtualTime::from_nanos),
                reported: times[2].map(VirtualTime::from_nanos),
                loss: loss.filter(|l| !l.is_nan()),
                ..client(&group, outcome)
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_row_reads_back_as_it_was_written(
            rounds in prop::collection::vec(any_round(), 0..8),
            clients in prop::collection::vec(any_client(), 0..8),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("rounds.csv");
            let mut table = Table::create(&path).unwrap();
            for row in &rounds {
                table.write(row).unwrap();
            }
            table.flush().unwrap();
            prop_assert_eq!(read_rows::<RoundRow>(&path).unwrap(), rounds);

            let path = dir.path().join("clients.csv");
            let mut table = Table::create(&path).unwrap();
            for row in &clients {
                table.write(row).unwrap();
            }
            table.flush().unwrap();
            prop_assert_eq!(read_rows::<ClientRow>(&path).unwrap(), clients);
        }

        #[test]
        fn any_bytes_in_a_table_are_rows_or_an_error(bytes in any::<Vec<u8>>()) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("clients.csv");
            let mut text = ClientRow::COLUMNS.join(",").into_bytes();
            text.push(b'\n');
            text.extend(bytes);
            std::fs::write(&path, text).unwrap();
            // Whatever the file contains, the reading returns.
            let _ = read_rows::<ClientRow>(&path);
        }
    }
}
