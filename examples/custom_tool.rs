//! The built-in agent with a tool of your own: `MODEL=qwen3 BASE_URL=http://127.0.0.1:11434/v1 cargo
//! run --example custom_tool`, then ask it, as in `examples/clients`, what tea costs.
use runwire::agent::model::openai::{OpenAi, OpenAiSettings};
use runwire::agent::{Settings, Tool, ToolAgent};
use runwire::{Cancel, Config, Server};
use serde_json::{Value, json};
use std::{env, error::Error};

struct Price;

impl Tool for Price {
    fn name(&self) -> &'static str {
        "price"
    }

    fn description(&self) -> &str {
        "The price of a thing in this shop."
    }

    fn parameters(&self) -> Value {
        let thing = json!({"type": "string", "enum": ["tea", "cake"]});
        json!({"type": "object", "properties": {"thing": thing}, "required": ["thing"]})
    }

    fn run(&self, arguments: &Value, _: &Cancel) -> Result<String, String> {
        match arguments["thing"].as_str() {
            Some("tea") => Ok("2.50".to_owned()),
            Some("cake") => Ok("4.20".to_owned()),
            _ => Err("We have only tea and cake.".to_owned()),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut model = OpenAiSettings::new(env::var("BASE_URL")?, env::var("MODEL")?);
    model.api_key = env::var("API_KEY").ok();
    let model = OpenAi::new(model)?;
    let settings =
        Settings { workspace: env::temp_dir().join("custom_tool"), ..Settings::default() };
    let agent = ToolAgent::new(Box::new(model), settings)?.with_tool(Box::new(Price));
    let mut config = Config::default();
    if let Some(port) = env::args().nth(1) {
        config.addr.set_port(port.parse()?);
    }
    let server = Server::bind(config, agent)?;
    println!("listening on http://{}", server.local_addr()?);
    Ok(server.run()?)
}
