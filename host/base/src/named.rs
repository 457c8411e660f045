//! Enums whose values have names: each name is said once, for JSON, headers, logs and what is stored.

/// Declares an enum with the names of its values, by which they are written and read everywhere.
#[macro_export]
macro_rules! named {
    ($(#[$attribute:meta])* $vis:vis enum $name:ident {
        $($(#[$value_attribute:meta])* $value:ident = $text:literal,)*
    }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis enum $name { $($(#[$value_attribute])* $value,)* }

        impl $name {
            /// All values.
            #[allow(dead_code, reason = "not everybody asks for all of them")]
            $vis const ALL: [Self; [$($text),*].len()] = [$(Self::$value),*];

            /// The value as it is written.
            $vis const fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text,)* }
            }

            /// The value that is written so.
            #[allow(dead_code, reason = "not everybody reads it")]
            $vis fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$value),)* _ => None }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <::std::borrow::Cow<'_, str> as ::serde::Deserialize>::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| {
                    ::serde::de::Error::custom(::std::format_args!(
                        "`{text}` is none of {}", [$($text),*].join(", ")
                    ))
                })
            }
        }
    };
}

#[cfg(test)]
mod tests {
    named! {
        /// A colour.
        enum Colour {
            Red = "red",
            DeepBlue = "deep-blue",
        }
    }

    #[test]
    fn a_name_leads_back_to_its_value() {
        for colour in Colour::ALL {
            assert_eq!(Colour::parse(colour.as_str()), Some(colour));
            let json = serde_json::to_string(&colour).unwrap();
            assert_eq!(
                (json.as_str(), colour.to_string()),
                (format!("\"{colour}\"").as_str(), colour.to_string())
            );
            assert_eq!(serde_json::from_str::<Colour>(&json).unwrap(), colour);
        }
        let error = serde_json::from_str::<Colour>("\"green\"").unwrap_err().to_string();
        assert!(error.starts_with("`green` is none of red, deep-blue"), "{error}");
    }
}
