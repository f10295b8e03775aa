//! Stores for servers: one that ends with its server, and one in a file that outlives it.
use runwire::store::{Memory, Store};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that goes with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("runwire-site-{}-{number}", std::process::id());
        let path = fs::canonicalize(std::env::temp_dir()).unwrap().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self, inner: &str) -> PathBuf {
        self.0.join(inner)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where the servers of one test have their store, one after the other.
pub struct Shelf {
    folder: Folder,
    pub is_durable: bool,
}

impl Shelf {
    /// A store in a file.
    #[cfg(feature = "sqlite")]
    pub fn durable() -> Shelf {
        Shelf { folder: Folder::new(), is_durable: true }
    }

    pub fn store(&self) -> Box<dyn Store> {
        if !self.is_durable {
            return Box::new(Memory::default());
        }
        #[cfg(feature = "sqlite")]
        return Box::new(runwire::store::Sqlite::open(&self.file()).expect("the store opens"));
        #[cfg(not(feature = "sqlite"))]
        unreachable!("there is no durable store");
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path("runs.db")
    }

    /// A folder for whatever else the test needs.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// What a server would find that dies now: all that is in the files at this moment.
    #[cfg(feature = "sqlite")]
    pub fn as_after_a_crash(&self) -> Shelf {
        let other = Shelf::durable();
        for ending in ["", "-wal"] {
            let name = |path: &Path| PathBuf::from(format!("{}{ending}", path.display()));
            fs::copy(name(&self.file()), name(&other.file())).unwrap();
        }
        other
    }
}

/// Runs `test` once with each kind of store.
pub fn on_each_store(test: impl Fn(&Shelf)) {
    test(&Shelf { folder: Folder::new(), is_durable: false });
    #[cfg(feature = "sqlite")]
    test(&Shelf::durable());
}
