//! A worker process spoken to without a server: what the frames ask for holds in the sealed process too.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use imgserve_config::Config;
use imgserve_peers::samples;
use serde_json::{Value, json};

use crate::harness::{look, program};

/// A worker with the builtin operations; killed when dropped.
struct Worker {
    process: Child,
    stream: UnixStream,
}

impl Worker {
    fn start() -> Self {
        let (stream, theirs) = UnixStream::pair().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let process = program().arg("worker").stdin(Stdio::from(OwnedFd::from(theirs))).spawn().unwrap();
        let mut worker = Self { process, stream };
        let config = Config::parse("").unwrap();
        let builtin = ["resize", "rasterize"].map(|name| {
            let settings = config.operations.iter().find(|(key, _)| *key == name).unwrap().1;
            json!({ "name": name, "settings": settings, "artifact": null })
        });
        let setup = json!({
            "operations": builtin, "codecs": [], "core": null, "memory_limit": 1_u64 << 30, "limits": config.limits,
            "codec": config.codec, "guest_size": config.plugins.guest_size, "lenient": false,
        });
        worker.send(&json!({ "setup": setup }), &[]);
        assert!(worker.receive().0.get("ready").is_some());
        worker
    }

    fn send(&mut self, message: &Value, payload: &[u8]) {
        let message = message.to_string();
        let mut frame = (message.len() as u32).to_le_bytes().to_vec();
        frame.extend((payload.len() as u64).to_le_bytes());
        frame.extend(message.as_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame).unwrap();
    }

    /// The next reply that ends a request, and its payload.
    fn receive(&mut self) -> (Value, Vec<u8>) {
        loop {
            let mut prefix = [0; 12];
            self.stream.read_exact(&mut prefix).unwrap();
            let (message, payload) = prefix.split_at(4);
            let mut message = vec![0; u32::from_le_bytes(message.try_into().unwrap()) as usize];
            let mut payload = vec![0; u64::from_le_bytes(payload.try_into().unwrap()) as usize];
            self.stream.read_exact(&mut message).unwrap();
            self.stream.read_exact(&mut payload).unwrap();
            let message: Value = serde_json::from_slice(&message).unwrap();
            if message.get("progress").is_none() {
                return (message, payload);
            }
        }
    }

    fn sealed(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        status.contains("Seccomp:\t2")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(tasks: &[(u32, u32, &str)]) -> Value {
    let tasks = tasks.iter().map(|(width, height, format)| {
        let args = json!({ "width": width, "height": height, "fit": "fill", "enlarge": "refuse" });
        let steps = json!([{ "operation": "resize", "args": args }]);
        json!({ "steps": steps, "extension": "gif", "format": format, "quality": 80, "seed": 0 })
    });
    json!({ "run": { "tasks": tasks.collect::<Vec<_>>(), "time_ms": 60_000 } })
}

#[test]
fn several_results_of_an_animation_come_in_one_frame() {
    let mut worker = Worker::start();
    worker.send(&run(&[(40, 30, "gif"), (900, 10, "png"), (20, 10, "png")]), &samples::animation(80, 60, 9));
    let (reply, payload) = worker.receive();
    let done = &reply["done"];
    assert_eq!(done["decoded"], 9, "{reply}");
    assert!(done["work_us"].as_u64().unwrap() > 0);
    assert_eq!(done["results"][1]["Err"]["kind"], "source-too-small");
    let length = done["results"][0]["Ok"]["bytes"].as_u64().unwrap() as usize;
    let (gif, png) = payload.split_at(length);
    assert_eq!(look(gif), (40, 30, image::ImageFormat::Gif));
    assert_eq!(look(png), (20, 10, image::ImageFormat::Png));
}

#[test]
fn a_sealed_worker_hears_that_it_is_cancelled() {
    let mut worker = Worker::start();
    // Some kernels cannot seal; what is tested holds there as well.
    println!("sealed: {}", worker.sealed());
    let (source, began) = (samples::animation(400, 400, 200), Instant::now());
    worker.send(&run(&[(350, 350, "gif"), (300, 300, "webp")]), &source);
    worker.send(&json!("cancel"), &[]);
    let (reply, _) = worker.receive();
    let decoded = reply["done"]["decoded"].as_u64().unwrap();
    assert!((1..200).contains(&decoded), "{decoded} frames in {:?}", began.elapsed());
    for result in reply["done"]["results"].as_array().unwrap() {
        assert!(result["Err"]["text"].as_str().unwrap().contains("cancelled"), "{result}");
    }
    // The frame that it has not read yet has no answer, and neither have further ones.
    worker.send(&json!("cancel"), &[]);
    worker.send(&run(&[(30, 20, "png")]), &samples::animation(80, 60, 2));
    let (reply, png) = worker.receive();
    assert!(reply["done"]["results"][0].get("Ok").is_some(), "{reply}");
    assert_eq!(look(&png), (30, 20, image::ImageFormat::Png));
}
