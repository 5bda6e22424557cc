//! One declaration of a setting makes its field, its row in the table and the way it is read.

/// Declares the program's settings, section by section:
///
/// ```text
/// /// What the section is about.
/// section: SectionSettings {
///     /// What the setting means, with its form and unit: its documentation and its help.
///     name: Type = kind(form);
/// }
/// ```
///
/// `form` is a function from text to `Result<Type, String>`. The kinds are `default("text", form)`, `switch("flag", form)` (false
/// unless given), `optional(form)` and `secret(form)` for an `Option`, `list(form)` and `secret_list(form)` for what is empty where
/// nobody sets it.
macro_rules! declare_settings {
    ($(
        $(#[doc = $what:literal])+
        $section:ident: $type:ident {
            $( $(#[doc = $about:literal])+ $name:ident: $value:ty = $kind:ident($($form:tt)*); )*
        }
    )*) => {
        /// Everything that can be set, checked.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Settings {
            $( $(#[doc = $what])+ pub $section: $type, )*
        }

        impl Settings {
            pub(super) fn read(reader: &mut Reader) -> Self {
                Self { $( $section: $type::read(reader), )* }
            }
        }

        $(
            $(#[doc = $what])+
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct $type {
                $( $(#[doc = $about])+ pub $name: $value, )*
            }

            impl $type {
                fn read(reader: &mut Reader) -> Self {
                    Self { $( $name: read!(reader, key!($section, $name), $kind($($form)*)), )* }
                }
            }
        )*

        /// Every setting, in the order of the help.
        pub const TABLE: Table = Table {
            environment: true,
            settings: &[$( $( row!(key!($section, $name), concat!($($about),+), $kind($($form)*)), )* )*],
        };
    };
}

macro_rules! key {
    ($section:ident, $name:ident) => {
        concat!(stringify!($section), ".", stringify!($name))
    };
}

macro_rules! row {
    ($key:expr, $about:expr, default($text:literal, $form:expr)) => {
        Setting::new($key, $text, $about)
    };
    ($key:expr, $about:expr, switch($flag:literal, $form:expr)) => {
        Setting::switch($key, $flag, $about)
    };
    ($key:expr, $about:expr, secret($form:expr)) => {
        Setting::secret($key, $about)
    };
    ($key:expr, $about:expr, secret_list($form:expr)) => {
        Setting::secret($key, $about)
    };
    ($key:expr, $about:expr, optional($form:expr)) => {
        Setting::optional($key, $about)
    };
    ($key:expr, $about:expr, list($form:expr)) => {
        Setting::optional($key, $about)
    };
}

macro_rules! read {
    ($reader:ident, $key:expr, default($text:literal, $form:expr)) => {
        $reader.get($key, $form)
    };
    ($reader:ident, $key:expr, switch($flag:literal, $form:expr)) => {
        $reader.get($key, $form)
    };
    ($reader:ident, $key:expr, list($form:expr)) => {
        $reader.optional($key, $form).unwrap_or_default()
    };
    ($reader:ident, $key:expr, secret_list($form:expr)) => {
        $reader.optional($key, $form).unwrap_or_default()
    };
    ($reader:ident, $key:expr, optional($form:expr)) => {
        $reader.optional($key, $form)
    };
    ($reader:ident, $key:expr, secret($form:expr)) => {
        $reader.optional($key, $form)
    };
}

pub(super) use {declare_settings, key, read, row};
