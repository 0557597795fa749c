//! What the classes of a scenario are called, and which of them attacks name.

use super::Scenario;
use crate::quantity::listed;

impl Scenario {
    /// What the data calls its classes, and which class each attack names, for a person to hold one
    /// against the other; nothing where classes are called by their indices and no attack names one.
    pub fn classes_in_words(&self) -> Vec<String> {
        let (names, classes) = (&self.samples.names, self.samples.classes);
        let mut lines = Vec::new();
        if names.are_given() {
            let few: Vec<String> = (0u32..)
                .take(classes.min(20))
                .map(|index| format!("{index} = {}", names.of(index)))
                .collect();
            let all = listed(few.iter().map(String::as_str), classes);
            lines.push(format!("classes: {all}"));
        }
        for (index, party) in self.adversaries.iter().enumerate() {
            let attack = party.attack.attack();
            let named: Vec<String> = attack
                .classes()
                .into_iter()
                .map(|(field, class)| match names.are_given() {
                    true => format!("{field} is class {class}, {}", names.of(class)),
                    false => format!("{field} is class {class}"),
                })
                .collect();
            if !named.is_empty() {
                let name = party.attack.name();
                lines.push(format!("adversaries[{index}] {name}: {}", named.join("; ")));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn told(data: &str, attack: &str, folder: &Path) -> Result<Vec<String>, String> {
        let text = format!(
            "(data: {data}, model: [Dense(3)], population: [(count: 4)],
              partition: (min_per_client: 0), schedule: (rounds: 1, cohort: 2),
              adversaries: [(who: Share(0.25), attack: {attack})])"
        );
        let read = Scenario::parse(&text, &folder.join("s.ron"), &[]);
        read.map(|scenario| scenario.classes_in_words())
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn the_classes_that_an_attack_names_are_told_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let table = "a,y\n1,dog\n2,cat\n3,ant\n4,dog\n5,cat\n6,ant\n";
        std::fs::write(folder.path().join("t.csv"), table).unwrap();
        let data = "Csv(file: \"t.csv\", label: \"y\")";
        let flip = |source| format!("LabelFlip(source: {source}, target: 0)");
        assert_eq!(
            told(data, &flip(2), folder.path()).unwrap(),
            [
                "classes: 0 = ant, 1 = cat, 2 = dog",
                "adversaries[0] LabelFlip: source is class 2, dog; target is class 0, ant",
            ]
        );
        let said = told(data, &flip(3), folder.path()).unwrap_err();
        assert!(
            said.contains("(0 = ant, 1 = cat, 2 = dog), found 3"),
            "{said}"
        );
    }
}
