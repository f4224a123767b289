//! Columns of the Table form, as `kubectl get` prints them.

use crate::object::time::Timestamp;
use crate::object::tree::Tree;

/// A built-in resource's column; `kubectl get` prints priority 0, `-o wide` the rest too.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    /// OpenAPI type: `string`, `integer`, `number`, `boolean`, `date`.
    pub kind: &'static str,
    /// OpenAPI format; `name` for the Name column.
    pub format: &'static str,
    pub priority: i32,
    /// Whether the Table's head names it: upstream sends one cell that no column announces.
    pub announced: bool,
    pub cell: Cell,
}

/// How a cell's value is found.
#[derive(Clone, Copy, Debug)]
pub enum Cell {
    /// What is at a dotted path; `""` where nothing is.
    Path(&'static str),
    /// What is at a dotted path, or another text.
    PathOr(&'static str, &'static str),
    /// The integer at a dotted path, or 0.
    Number(&'static str),
    /// How many elements a list or a map has.
    Count(&'static str),
    /// Age of the time at a dotted path, as `kubectl` shows ages.
    Age(&'static str),
    /// Worked out from the object.
    With(fn(&Tree) -> Tree),
    /// Worked out from the object and what time it is now.
    WithNow(fn(&Tree, Timestamp) -> Tree),
}

/// A custom resource's column (`additionalPrinterColumns`).
#[derive(Clone, Debug, PartialEq)]
pub struct CustomColumn {
    pub name: String,
    pub kind: String,
    pub format: String,
    pub description: String,
    pub priority: i32,
    pub json_path: String,
}

/// A resource's columns, built in or custom.
#[derive(Clone, Debug)]
pub enum Columns {
    /// Cells are worked out from the stored tree.
    Fixed(&'static [Column]),
    /// Cells are worked out from the tree in the version that has these columns; the Name column
    /// is not among them.
    Custom(Vec<CustomColumn>),
}

impl Column {
    pub const NAME: Self = Self { format: "name", ..Self::path("Name", "metadata.name") };
    pub const AGE: Self = Self::age("Age", "metadata.creationTimestamp");
    pub const CREATED_AT: Self = Self { kind: "date", ..Self::path("Created At", "metadata.creationTimestamp") };

    /// What upstream shows of kinds that it has no printer for.
    pub const UNKNOWN: &'static [Self] = &[Self::NAME, Self::CREATED_AT];

    pub const fn new(name: &'static str, cell: Cell) -> Self {
        Self { name, kind: "string", format: "", priority: 0, announced: true, cell }
    }

    /// A string column of what is at a dotted path.
    pub const fn path(name: &'static str, path: &'static str) -> Self {
        Self::new(name, Cell::Path(path))
    }

    /// As [`Column::path`], with a text for objects that have nothing there.
    pub const fn path_or(name: &'static str, path: &'static str, or: &'static str) -> Self {
        Self::new(name, Cell::PathOr(path, or))
    }

    /// An integer column of the number at a dotted path.
    pub const fn number(name: &'static str, path: &'static str) -> Self {
        Self { kind: "integer", ..Self::new(name, Cell::Number(path)) }
    }

    pub const fn with(name: &'static str, cell: fn(&Tree) -> Tree) -> Self {
        Self::new(name, Cell::With(cell))
    }

    pub const fn with_now(name: &'static str, cell: fn(&Tree, Timestamp) -> Tree) -> Self {
        Self::new(name, Cell::WithNow(cell))
    }

    /// The age of the time at a dotted path.
    pub const fn age(name: &'static str, path: &'static str) -> Self {
        Self::new(name, Cell::Age(path))
    }

    pub const fn count(name: &'static str, path: &'static str) -> Self {
        Self::new(name, Cell::Count(path))
    }

    /// Only shown by `-o wide`.
    pub const fn wide(self) -> Self {
        Self { priority: 1, ..self }
    }

    /// A cell in every row that the Table's head does not name.
    pub const fn unannounced(self) -> Self {
        Self { announced: false, ..self }
    }

    /// With another OpenAPI type than `string`.
    pub const fn of(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }
}
