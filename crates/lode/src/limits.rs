//! `--limits cpu=100ms,memory=64MiB,…`.

use std::time::Duration;

use lode_sandbox::Limits;

/// The words after `--limits`, for the help text.
pub(crate) const HELP: &str = "cpu, wall (ms or s), memory, output, log (bytes, KiB, MiB), calls: \
    e.g. cpu=50ms,memory=32MiB";

/// Parses `name=value` pairs over the default limits.
pub(crate) fn parse(text: &str) -> Result<Limits, String> {
    let mut limits = Limits::default();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (name, value) =
            pair.split_once('=').ok_or_else(|| format!("`{pair}` is not name=value"))?;
        match name.trim() {
            "cpu" => limits.cpu = duration(pair, value)?,
            "wall" => limits.wall = duration(pair, value)?,
            "memory" => limits.memory = bytes(pair, value)?,
            "output" => limits.output = bytes(pair, value)?,
            "log" => limits.log = bytes(pair, value)?,
            "calls" => {
                limits.calls =
                    value.trim().parse().map_err(|_| format!("`{pair}`: not a number of calls"))?;
            }
            other => {
                return Err(format!(
                    "`{other}` is no limit: cpu, wall, memory, output, log and calls are"
                ));
            }
        }
    }
    Ok(limits)
}

fn number<'v>(pair: &str, value: &'v str) -> Result<(f64, &'v str), String> {
    let value = value.trim();
    let end = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let number = value[..end].parse().map_err(|_| format!("`{pair}`: no number"))?;
    Ok((number, value[end..].trim()))
}

/// The longest time a limit may be: a run is short by nature.
const LONGEST: Duration = Duration::from_secs(3600);

fn duration(pair: &str, value: &str) -> Result<Duration, String> {
    let (number, unit) = number(pair, value)?;
    let seconds = match unit {
        "ms" => number / 1e3,
        "s" => number,
        "us" | "µs" => number / 1e6,
        _ => return Err(format!("`{pair}`: the unit is missing (us, ms or s)")),
    };
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() && duration <= LONGEST => Ok(duration),
        _ => Err(format!("`{pair}`: a time between 1 us and {} s is needed", LONGEST.as_secs())),
    }
}

fn bytes(pair: &str, value: &str) -> Result<usize, String> {
    let (number, unit) = number(pair, value)?;
    let factor = match unit {
        "" | "B" => 1.0,
        "KiB" | "K" => 1024.0,
        "MiB" | "M" => 1024.0 * 1024.0,
        "GiB" | "G" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(format!("`{pair}`: `{unit}` is no unit (B, KiB, MiB or GiB)")),
    };
    let bytes = number * factor;
    // A 32-bit memory ends at 4 GiB.
    if (1.0..=4294967296.0).contains(&bytes) {
        Ok(bytes as usize)
    } else {
        Err(format!("`{pair}`: a size between 1 B and 4 GiB is needed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_can_be_set() {
        let limits =
            parse("cpu=1.5s,wall=20ms,memory=32MiB,output=1K,log=7,calls=3").expect("well-formed");
        assert_eq!(
            limits,
            Limits {
                cpu: Duration::from_millis(1500),
                wall: Duration::from_millis(20),
                memory: 32 << 20,
                output: 1024,
                log: 7,
                calls: 3,
            }
        );
    }

    #[test]
    fn impossible_limits_are_refused_by_name() {
        for bad in
            ["cpu=0ms", "cpu=5", "cpu=-1ms", "wall=2h", "memory=5GiB", "memory=0", "x=1", "cpu"]
        {
            let message = parse(bad).expect_err(bad);
            assert!(message.contains(bad.split('=').next().unwrap_or(bad)), "{message}");
        }
    }
}
