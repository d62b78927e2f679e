//! Reads an address out of lines as people copy them off a marketplace's page. What cannot be told apart for sure is
//! left open for a person: a wrong guess sends a parcel to a wrong door.

use super::country;
use super::customer::Address;

/// Longest line.
const LINE_CHARS_MAX: usize = 200;
/// More lines than any address has.
const LINES_MAX: usize = 12;

/// A part of an address that a person has to fill in or confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Open {
    /// Who gets it.
    Name,
    /// The street.
    Street,
    /// The city.
    City,
    /// State or region.
    Region,
    /// The postal code.
    PostalCode,
    /// The country.
    Country,
}

/// What lines say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pasted {
    /// As far as it is sure. Lines that nobody could place stand in the street.
    pub address: Address,
    /// What a person has to look at.
    pub open: Vec<Open>,
}

/// How a country writes the line with the city.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `Springfield, IL 62704`
    CityRegionCode,
    /// `10115 Berlin`
    CodeCity,
    /// The code alone in the last line, the city above it.
    CityThenCode,
}

fn form(country: &str) -> Option<Form> {
    match country {
        "US" | "CA" | "AU" => Some(Form::CityRegionCode),
        "DE" | "AT" | "CH" | "FR" | "NL" | "BE" | "LU" | "DK" | "SE" | "NO" | "FI" | "PL" | "CZ" | "SK"
        | "ES" | "IT" | "PT" | "GR" | "HR" | "SI" | "EE" | "LT" | "TR" | "LI" | "MC" | "IS" | "BG" | "RO" => {
            Some(Form::CodeCity)
        }
        "GB" => Some(Form::CityThenCode),
        _ => None,
    }
}

/// Reads lines. `country` is what the person chose; a last line that names a country counts where nothing was chosen,
/// and the two must agree.
#[must_use]
pub fn read(text: &str, country: Option<&str>) -> Pasted {
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| {
            line.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LINE_CHARS_MAX).collect()
        })
        .filter(|line: &String| !line.is_empty())
        .take(LINES_MAX)
        .collect();
    let mut pasted = Pasted::default();
    let named = if lines.len() > 1 { lines.last().and_then(|line| country::code_of(line)) } else { None };
    if named.is_some() {
        lines.pop();
    }
    let chosen = country.and_then(country::code_of);
    let is_contradicted = matches!((chosen, named), (Some(chosen), Some(named)) if chosen != named);
    let code = chosen.or(named);
    pasted.address.country = code.map(str::to_owned);
    if code.is_none() || is_contradicted {
        pasted.open.push(Open::Country);
    }
    if lines.is_empty() {
        pasted.open.extend([Open::Name, Open::Street, Open::City, Open::PostalCode]);
        return sorted(pasted);
    }
    // A first line with a number is more likely a street than a person.
    if lines.first().is_some_and(|line| line.chars().any(|character| character.is_ascii_digit())) {
        pasted.open.push(Open::Name);
    } else {
        pasted.address.name = Some(lines.remove(0));
    }
    let is_placed = !is_contradicted && code.is_some_and(|code| place(code, &mut lines, &mut pasted));
    if !is_placed {
        pasted.open.extend([Open::City, Open::Region, Open::PostalCode]);
    }
    if lines.is_empty() {
        pasted.open.push(Open::Street);
    }
    pasted.address.street = lines;
    sorted(pasted)
}

fn sorted(mut pasted: Pasted) -> Pasted {
    pasted.open.sort_unstable();
    pasted.open.dedup();
    pasted
}

/// Takes city, region and code off the end of the lines, where the country's form is plainly there.
fn place(country: &str, lines: &mut Vec<String>, pasted: &mut Pasted) -> bool {
    let Some(form) = form(country) else { return false };
    let Some(last) = lines.last().cloned() else { return false };
    let found = match form {
        Form::CityRegionCode => city_region_code(country, &last),
        Form::CodeCity => code_city(country, &last),
        Form::CityThenCode => {
            if !is_code(country, &last) || lines.len() < 2 {
                return false;
            }
            lines.pop();
            lines.last().map(|city| (city.clone(), None, last.to_uppercase()))
        }
    };
    let Some((city, region, code)) = found else { return false };
    lines.pop();
    pasted.address.city = Some(city);
    pasted.address.region = region;
    pasted.address.postal_code = Some(code);
    true
}

type Place = (String, Option<String>, String);

/// `Springfield, IL 62704`, `TORONTO ON M5V 2T6`: the code, before it two or three letters, before them the city.
fn city_region_code(country: &str, line: &str) -> Option<Place> {
    let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let code_words = if country == "CA" { 2 } else { 1 };
    let (before, code) = words.split_at_checked(words.len().checked_sub(code_words)?)?;
    let code = code.join(" ");
    let (region, city) = before.split_last()?;
    let is_region = (2..=3).contains(&region.len()) && region.bytes().all(|byte| byte.is_ascii_alphabetic());
    (is_code(country, &code) && is_region && !city.is_empty())
        .then(|| (city.join(" "), Some(region.to_uppercase()), code.to_uppercase()))
}

/// `10115 Berlin`, `1234 AB Utrecht`, `00184 Roma RM`: the code, and the city behind it.
fn code_city(country: &str, line: &str) -> Option<Place> {
    let words: Vec<&str> = line.split(' ').collect();
    let code_words = match country {
        "NL" | "SE" | "SK" | "CZ" | "GR" => 2,
        _ => 1,
    };
    // Written without the space, the code is one word.
    let (code, mut city) = (1..=code_words).rev().find_map(|count| {
        let (code, city) = words.split_at_checked(count)?;
        let code = code.join(" ");
        is_code(country, &code).then_some((code, city))
    })?;
    let mut region = None;
    if country == "IT"
        && let [rest @ .., last] = city
    {
        let province = last.trim_matches(['(', ')']);
        if !rest.is_empty() && province.len() == 2 && province.bytes().all(|byte| byte.is_ascii_uppercase()) {
            region = Some(province.to_owned());
            city = rest;
        }
    }
    (!city.is_empty()).then(|| (city.join(" ").trim_matches(',').to_owned(), region, code.to_uppercase()))
}

/// Whether a text has the form of the country's postal code. `9` is a digit, `A` a letter, ` ` a space that may lack.
fn is_code(country: &str, text: &str) -> bool {
    let forms: &[&str] = match country {
        "US" => &["99999", "99999-9999"],
        "CA" => &["A9A 9A9"],
        "GB" => &["A9 9AA", "A99 9AA", "AA9 9AA", "AA99 9AA", "A9A 9AA", "AA9A 9AA"],
        "NL" => &["9999 AA"],
        "SE" | "SK" | "CZ" | "GR" => &["999 99"],
        "PL" => &["99-999"],
        "PT" => &["9999-999"],
        "IS" => &["999"],
        "AT" | "CH" | "BE" | "LU" | "DK" | "NO" | "SI" | "LI" | "AU" | "BG" => &["9999"],
        "RO" => &["999999"],
        "LT" => &["LT-99999", "99999"],
        _ => &["99999"],
    };
    forms.iter().any(|form| has_form(text, form))
}

fn has_form(text: &str, form: &str) -> bool {
    let mut text = text.chars().peekable();
    let matches = form.chars().all(|wanted| match wanted {
        ' ' => {
            text.next_if_eq(&' ');
            true
        }
        '9' => text.next_if(char::is_ascii_digit).is_some(),
        'A' => text.next_if(char::is_ascii_alphabetic).is_some(),
        other => text.next_if(|found| found.eq_ignore_ascii_case(&other)).is_some(),
    });
    matches && text.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name|street;street|city|region|code|country|open`
    #[track_caller]
    fn check(text: &str, country: Option<&str>, expected: &str) {
        let Pasted { address, open } = read(text, country);
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        let open: Vec<String> = open.iter().map(|open| format!("{open:?}")).collect();
        let found = [
            part(&address.name),
            address.street.join(";"),
            part(&address.city),
            part(&address.region),
            part(&address.postal_code),
            part(&address.country),
            open.join(","),
        ];
        assert_eq!(found.join("|"), expected, "{text:?}");
    }

    #[test]
    fn addresses_in_their_countries_own_form_are_read_whole() {
        check(
            "Grace Example\n1 Test Street\nApt 2\nSPRINGFIELD, IL 62704\nUnited States\n",
            None,
            "Grace Example|1 Test Street;Apt 2|SPRINGFIELD|IL|62704|US|",
        );
        check(
            "Ada Example\n1 Salt Lake Rd\nSALT LAKE CITY UT 84101-1234",
            Some("US"),
            "Ada Example|1 Salt Lake Rd|SALT LAKE CITY|UT|84101-1234|US|",
        );
        check(
            "Max Muster\r\nc/o Beispiel GmbH\r\nMusterstr. 1\r\n10115  Berlin\r\nGermany",
            None,
            "Max Muster|c/o Beispiel GmbH;Musterstr. 1|Berlin||10115|DE|",
        );
        check("J. Jansen\nStraat 1\n1234 AB Den Haag\nNL", None, "J. Jansen|Straat 1|Den Haag||1234 AB|NL|");
        check("J. Jansen\nStraat 1\n1234ab Utrecht", Some("NL"), "J. Jansen|Straat 1|Utrecht||1234AB|NL|");
        check("L. Rossi\nVia Roma 1\n00184 Roma (RM)\nItaly", None, "L. Rossi|Via Roma 1|Roma|RM|00184|IT|");
        check(
            "Jane Doe\n1 High Street\nLONDON\nSW1A 1AA\nUnited Kingdom",
            None,
            "Jane Doe|1 High Street|LONDON||SW1A 1AA|GB|",
        );
        check(
            "Jean Tremblay\n1 rue Test\nMONTREAL QC H2X 1Y4\nCanada",
            None,
            "Jean Tremblay|1 rue Test|MONTREAL|QC|H2X 1Y4|CA|",
        );
    }

    #[test]
    fn what_cannot_be_told_apart_is_asked() {
        // No country: nobody knows where the code stands.
        check(
            "Max Muster\nMusterstr. 1\n10115 Berlin",
            None,
            "Max Muster|Musterstr. 1;10115 Berlin|||||City,Region,PostalCode,Country",
        );
        // Another form than the country's.
        check(
            "Ada Example\n1 Test Street\nSpringfield\n62704",
            Some("US"),
            "Ada Example|1 Test Street;Springfield;62704||||US|City,Region,PostalCode",
        );
        // A country whose form is not known.
        check(
            "T. Yamada\n1-2-3 Ginza\nChuo-ku, Tokyo 104-0061\nJapan",
            None,
            "T. Yamada|1-2-3 Ginza;Chuo-ku, Tokyo 104-0061||||JP|City,Region,PostalCode",
        );
        // Chosen and pasted differ.
        check(
            "Max Muster\nMusterstr. 1\n1010 Wien\nAustria",
            Some("DE"),
            "Max Muster|Musterstr. 1;1010 Wien||||DE|City,Region,PostalCode,Country",
        );
        // The name is missing, or the street is.
        check("1 Test Street\nAustin, TX 78701", Some("US"), "|1 Test Street|Austin|TX|78701|US|Name");
        check("Ada Example\nAustin, TX 78701", Some("US"), "Ada Example||Austin|TX|78701|US|Street");
        check("", None, "||||||Name,Street,City,PostalCode,Country");
    }
}
