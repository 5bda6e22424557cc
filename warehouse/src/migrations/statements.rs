//! A file's statements: each ends with a `;` at a line's end, outside of quotes, comments and `$$` blocks.

/// Where a character stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum In {
    Statement,
    /// Between quotes of this kind.
    Quotes(char),
    /// Between `$$` and `$$`.
    Block,
    LineComment,
    Comment,
}

/// The statements, without their ends; comments before a statement belong to it. An error says what has no end.
pub fn split(sql: &str) -> Result<Vec<String>, String> {
    let (mut statements, mut current) = (Vec::new(), String::new());
    let mut at = In::Statement;
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let (taken, next) = step(at, c, rest);
        if at == In::Statement && c == ';' && ends_line(&rest[1..]) {
            finish(&mut current, &mut statements);
        } else {
            current.push_str(&rest[..taken]);
        }
        at = next;
        rest = &rest[taken..];
    }
    match at {
        In::Statement | In::LineComment => {}
        In::Quotes(quote) => return Err(format!("a quote ({quote}) is not closed")),
        In::Block => return Err("a block ($$) is not closed".to_owned()),
        In::Comment => return Err("a comment (/*) is not closed".to_owned()),
    }
    if has_code(&current) {
        return Err(format!(
            "the last statement has no end (;): {}",
            current.trim().lines().last().unwrap_or_default()
        ));
    }
    Ok(statements)
}

/// How many bytes belong together, and where what follows stands.
fn step(at: In, c: char, rest: &str) -> (usize, In) {
    match at {
        In::Statement if rest.starts_with("--") => (2, In::LineComment),
        In::Statement if rest.starts_with("/*") => (2, In::Comment),
        In::Statement if rest.starts_with("$$") => (2, In::Block),
        In::Statement if matches!(c, '\'' | '"') => (1, In::Quotes(c)),
        In::LineComment if c == '\n' => (1, In::Statement),
        In::Comment if rest.starts_with("*/") => (2, In::Statement),
        In::Block if rest.starts_with("$$") => (2, In::Statement),
        // A backslash is an escape in Snowflake's texts; a doubled quote closes one and opens the next.
        In::Quotes('\'') if c == '\\' => (1 + rest[1..].chars().next().map_or(0, char::len_utf8), at),
        In::Quotes(quote) if c == quote => (1, In::Statement),
        at => (c.len_utf8(), at),
    }
}

/// Whether nothing but white space, or a comment, follows in the line.
fn ends_line(rest: &str) -> bool {
    let line = rest.lines().next().unwrap_or_default().trim();
    line.is_empty() || line.starts_with("--")
}

fn finish(current: &mut String, statements: &mut Vec<String>) {
    let statement = std::mem::take(current);
    if has_code(&statement) {
        statements.push(statement.trim().to_owned());
    }
}

/// Whether there is more than comments of lines.
fn has_code(text: &str) -> bool {
    text.lines()
        .any(|line| !line.trim().is_empty() && !line.trim().starts_with("--"))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn statements_end_at_semicolons_of_line_ends() {
        let sql = "-- The top; with a semicolon;\n\nCREATE A;\n\n-- About B.\nCREATE B (\n  X INT -- no; end;\n);  -- said\nSELECT 1; SELECT 2;\n";
        assert_eq!(
            split(sql).unwrap(),
            [
                "-- The top; with a semicolon;\n\nCREATE A",
                "-- About B.\nCREATE B (\n  X INT -- no; end;\n)",
                "-- said\nSELECT 1; SELECT 2"
            ]
        );
    }

    #[test]
    fn quotes_blocks_and_comments_hide_semicolons() {
        let sql = "SELECT 'a;\nb', 'it''s;\n', '\\';\n', \"c;\n\";\nCREATE P AS $$\n  BEGIN;\n  'x\n$$;\n/* x;\n */ SELECT 1;\n";
        let statements = split(sql).unwrap();
        assert_eq!(statements.len(), 3, "{statements:?}");
        assert!(statements[1].starts_with("CREATE P AS $$") && statements[1].ends_with("$$"));
        assert_eq!(statements[2], "/* x;\n */ SELECT 1");
    }

    #[test]
    fn what_has_no_end_is_an_error() {
        for (sql, open) in [
            ("SELECT 'a;\n", "quote"),
            ("CREATE $$ a;\n", "block"),
            ("/* a;\n", "comment"),
            ("SELECT 1\n", "no end"),
            ("SELECT 1; SELECT 2\n", "no end"),
        ] {
            assert!(split(sql).unwrap_err().contains(open), "{sql}");
        }
        assert_eq!(split("-- nothing\n").unwrap(), Vec::<String>::new());
    }
}
