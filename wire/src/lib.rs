//! How a type becomes bytes.
//!
//! A [`Wire`] type knows its format; a [`Codec`] carries what that format needs at run time (for Avro: the registry, the
//! writer's schema id, the cache of schemas by id). A [`Topic`] is a name with the types of its key and value.
