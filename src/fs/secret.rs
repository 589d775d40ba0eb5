//! Reading what may be secret, so that no copy of it is left behind.

use std::io::{self, Read};

use zeroize::Zeroizing;

/// What is read at once where no size is stated: a page.
const CHUNK: usize = 4096;

/// Reads to the end, into a buffer that never grows: where more comes than was stated, what is there moves to a larger
/// buffer, and the smaller one is wiped. `None`: there is more than `limit`.
pub(crate) fn read_to_end(
    mut from: impl Read,
    stated: usize,
    limit: usize,
) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    // One more than expected: the end is then seen without a larger buffer.
    let most = limit.saturating_add(1);
    let mut buffer = Zeroizing::new(vec![0; stated.max(CHUNK).saturating_add(1).min(most)]);
    let mut length = 0;
    loop {
        if length == buffer.len() {
            if length == most {
                return Ok(None);
            }
            let mut larger = Zeroizing::new(vec![0; length.saturating_mul(2).min(most)]);
            larger[..length].copy_from_slice(&buffer);
            buffer = larger;
        }
        match from.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // Keeps its capacity, all of which is wiped.
    buffer.truncate(length);
    Ok(Some(buffer))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in pieces.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let at_once = self.1.min(buffer.len());
            self.0.read(&mut buffer[..at_once])
        }
    }

    #[test]
    fn all_is_read_up_to_the_limit_whatever_size_was_stated() {
        let bytes: Vec<u8> = (0..20_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        for stated in [0, 1, 4096, 19_999, 20_000, 20_001] {
            for at_once in [1, 1000, 100_000] {
                let read = |limit| read_to_end(Pieces(&bytes, at_once), stated, limit).unwrap();
                assert_eq!(read(20_000).as_deref(), Some(&bytes));
                assert_eq!(read(30_000).as_deref(), Some(&bytes));
                assert_eq!(read(19_999), None);
                assert_eq!(read(0), None);
            }
        }
    }

    #[test]
    fn a_read_of_the_stated_size_needs_one_buffer() {
        let bytes = vec![7; 10_000];
        let read = read_to_end(bytes.as_slice(), bytes.len(), 1 << 20).unwrap();
        assert_eq!(read.unwrap().capacity(), bytes.len() + 1);
    }
}
