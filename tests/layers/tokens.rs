//! A file of Rust as tokens, as far as the check of the layers needs them.

pub fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::` and single signs; no comments, no literals but numbers.
pub fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let name = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let length = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => string(rest),
            '\'' => quote(rest),
            // A raw string: `r"…"` or `r#"…"#`, also behind a `b` or `c`, whose prefix has just been cut off.
            _ if matches!(&rest[..name], "r" | "br" | "cr") && raw_string(&rest[name..]).is_some() => {
                name + raw_string(&rest[name..]).unwrap_or(0)
            }
            ':' if rest.starts_with("::") => 2,
            _ => name.max(c.len_utf8()),
        };
        let keep = !c.is_whitespace()
            && !matches!(c, '"' | '\'')
            && !rest.starts_with("//")
            && !rest.starts_with("/*");
        if keep {
            tokens.push(rest[..length].to_owned());
        }
        rest = &rest[length..];
    }
    tokens
}

/// The length of a comment `/* … */`, which may hold others.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// The length of a string in quotes, with its escapes.
fn string(text: &str) -> usize {
    let mut escaped = true; // The opening quote ends nothing.
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `"…"` between the same number of `#`; none if `text` begins otherwise.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.len() - text.trim_start_matches('#').len();
    let end = format!("\"{}", "#".repeat(hashes));
    let body = text[hashes..].strip_prefix('"')?;
    Some(hashes + 1 + body.find(&end)? + end.len())
}

/// The length of a character in quotes, or of a lifetime.
fn quote(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, c))) => {
            let behind = at + c.len_utf8();
            behind + text[behind..].find('\'').map_or(0, |end| end + 1)
        }
        (_, Some((at, '\''))) => at + 1,
        _ => 1 + text[1..].find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len() - 1),
    }
}

/// Drops every item under a `#[cfg(…)]` that mentions `test` and not `not`.
pub fn without_tests(tokens: Vec<String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let rest = &tokens[at..];
        let attribute = attribute(rest);
        let inside = &rest[..attribute];
        let has = |word| inside.iter().any(|t| t == word);
        if attribute > 0 && inside[2] == "cfg" && has("test") && !has("not") {
            at += attribute + item(&rest[attribute..]);
        } else {
            kept.extend_from_slice(&rest[..attribute.max(1)]);
            at += attribute.max(1);
        }
    }
    kept
}

/// How many tokens an attribute takes, if one begins here.
fn attribute(tokens: &[String]) -> usize {
    if tokens.len() < 3 || tokens[0] != "#" || tokens[1] != "[" { 0 } else { 1 + nested(&tokens[1..]) }
}

/// How many tokens the item takes that begins here: up to its `;`, or its block.
fn item(tokens: &[String]) -> usize {
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].as_str() {
            ";" => return at + 1,
            "}" => return at,
            "{" if !tokens[..at].iter().any(|t| t == "use") => return at + nested(&tokens[at..]),
            "{" | "(" | "[" => at += nested(&tokens[at..]),
            _ => at += 1,
        }
    }
    at
}

/// How many tokens a group takes, from its opening sign to the closing one.
fn nested(tokens: &[String]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}
