//! Draws who did what when, as bars and as a Mermaid sequence diagram.

use std::time::Duration;

/// The width of the bars, for a time of `scale`.
const COLUMNS: u32 = 60;
const NAMES: [&str; 2] = ["A", "B"];

/// From when on who (0 is A, 1 is B) does what: '·' waits for its lock, '█' computes, ' ' has let the lock go.
pub type Event = (Duration, usize, char);

/// For how long both computed.
pub fn both_compute(events: &[Event]) -> Duration {
    let mut doing = [' '; 2];
    let spans = events.windows(2).map(|pair| {
        let ((from, who, what), (to, ..)) = (pair[0], pair[1]);
        doing[who] = what;
        if doing == ['█'; 2] { to - from } else { Duration::ZERO }
    });
    spans.sum()
}

/// A line for each of the two.
pub fn print_bars(events: &[Event], scale: Duration) {
    for (who, name) in NAMES.into_iter().enumerate() {
        let mark = |column| {
            let middle = scale * (2 * column + 1) / (2 * COLUMNS);
            events.iter().rfind(|event| event.0 <= middle && event.1 == who).map_or(' ', |event| event.2)
        };
        println!("{name} {}", (0..COLUMNS).map(mark).collect::<String>().trim_end());
    }
}

/// In the messages a plus begins an activity, and a minus ends it.
pub fn print_diagram(events: &[Event], locks: [&str; 2]) {
    println!("sequenceDiagram");
    for &(at, who, what) in events {
        let (name, lock, at) = (NAMES[who], locks[who], at.as_secs_f64() * 1e3);
        match what {
            '·' => println!("    {name}->>{lock}: may I? ({at:.1} ms)"),
            '█' => println!("    {lock}->>+{name}: yes ({at:.1} ms)"),
            _ => println!("    {name}->>-{lock}: done ({at:.1} ms)"),
        }
    }
}
