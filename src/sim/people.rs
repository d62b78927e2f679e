//! Invented buyers: names, companies and addresses with the lengths, scripts and oddities of real ones.
//!
//! A person follows from seed and number and is never stored. No name or address here belongs to anybody;
//! telephone numbers are from the ranges that are kept for fiction.

use super::draw::Draw;

/// A buyer and where a parcel goes.
#[derive(Debug, Clone)]
pub struct Person {
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// Company, often empty.
    pub company: String,
    /// Street and number.
    pub street_1: String,
    /// Apartment and the like, often empty.
    pub street_2: String,
    /// City.
    pub city: String,
    /// The state's short form where the country has one, else its name or nothing.
    pub state: String,
    /// The state's name.
    pub state_name: String,
    /// Postal code.
    pub zip: String,
    /// ISO 3166 two-letter code.
    pub country_code: &'static str,
    /// The country's English name.
    pub country: &'static str,
    /// Telephone number.
    pub phone: String,
    /// The buyer's address in the shop.
    pub email: String,
    /// The relay address that a marketplace shows.
    pub relay_email: String,
}

impl Person {
    /// Given and family name.
    pub fn full_name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name)
    }
}

/// A US place: city, state, the state's name, the first three digits of its postal codes.
type Place = (&'static str, &'static str, &'static str, &'static str);

const PLACES: [Place; 30] = [
    ("Portland", "OR", "Oregon", "972"),
    ("Austin", "TX", "Texas", "787"),
    ("San Antonio", "TX", "Texas", "782"),
    ("Brooklyn", "NY", "New York", "112"),
    ("Buffalo", "NY", "New York", "142"),
    ("Los Angeles", "CA", "California", "900"),
    ("San José", "CA", "California", "951"),
    ("Rancho Santa Margarita", "CA", "California", "926"),
    ("Chicago", "IL", "Illinois", "606"),
    ("Peoria", "IL", "Illinois", "616"),
    ("Miami", "FL", "Florida", "331"),
    ("Saint Petersburg", "FL", "Florida", "337"),
    ("Winston-Salem", "NC", "North Carolina", "271"),
    ("Boise", "ID", "Idaho", "837"),
    ("Coeur d'Alene", "ID", "Idaho", "838"),
    ("Salt Lake City", "UT", "Utah", "841"),
    ("Anchorage", "AK", "Alaska", "995"),
    ("Honolulu", "HI", "Hawaii", "968"),
    ("Cambridge", "MA", "Massachusetts", "021"),
    ("Hartford", "CT", "Connecticut", "061"),
    ("Washington", "DC", "District of Columbia", "200"),
    ("Columbus", "OH", "Ohio", "432"),
    ("Detroit", "MI", "Michigan", "482"),
    ("Truth or Consequences", "NM", "New Mexico", "879"),
    ("Nashville", "TN", "Tennessee", "372"),
    ("Richmond", "VA", "Virginia", "232"),
    ("Seattle", "WA", "Washington", "981"),
    ("Phoenix", "AZ", "Arizona", "850"),
    ("Denver", "CO", "Colorado", "802"),
    ("Atlanta", "GA", "Georgia", "303"),
];

/// A place abroad: street, city, state, the state's name, postal code, country code, country.
type Abroad =
    (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

const ABROAD: [Abroad; 8] = [
    ("Rue Sainte-Catherine Ouest", "Montréal", "QC", "Quebec", "H3B 1K9", "CA", "Canada"),
    ("Robson Street", "Vancouver", "BC", "British Columbia", "V6E 1B2", "CA", "Canada"),
    ("Upper Street", "London", "", "", "N1 0NY", "GB", "United Kingdom"),
    ("Große Elbstraße", "Hamburg", "", "", "22767", "DE", "Germany"),
    ("Calle de Alcalá", "Madrid", "Madrid", "Madrid", "28014", "ES", "Spain"),
    ("Ulica Świętokrzyska", "Łódź", "", "", "90-001", "PL", "Poland"),
    ("Gran Vía Diagonal", "Ciudad de México", "CDMX", "Ciudad de México", "06600", "MX", "Mexico"),
    ("Jingumae", "Shibuya-ku", "Tokyo", "Tokyo", "150-0001", "JP", "Japan"),
];

const FIRST: [&str; 40] = [
    "James",
    "María",
    "Robert",
    "Patricia",
    "Wei",
    "Jennifer",
    "Michael",
    "Søren",
    "David",
    "Elizabeth",
    "Björn",
    "Aaliyah",
    "Joseph",
    "Susan",
    "Thomas",
    "Zoë",
    "Charles",
    "Karen",
    "Siobhán",
    "Nguyễn",
    "Daniel",
    "Lisa",
    "Anne-Marie",
    "Matthew",
    "Betty",
    "Łukasz",
    "Margaret",
    "Mark",
    "Sandra",
    "Donald",
    "D'Andre",
    "Steven",
    "Kimberly",
    "Paul",
    "Emily",
    "Andrew",
    "Priya",
    "Joshua",
    "Jean-François",
    "X Æ",
];

const LAST: [&str; 40] = [
    "Smith",
    "Johnson",
    "O'Neill",
    "Brown",
    "García",
    "Miller",
    "Davis",
    "Rodríguez",
    "Martínez",
    "Hernández",
    "Lopez",
    "Gonzalez",
    "Wilson",
    "Anderson",
    "Thomas-Nakamura",
    "Taylor",
    "Moore",
    "Jackson",
    "Müller",
    "Lee",
    "Perez",
    "Thompson",
    "White",
    "Harris",
    "van der Berg",
    "Clark",
    "Ramirez",
    "Lewis",
    "Robinson",
    "Walker",
    "Young",
    "St. James",
    "King",
    "Wright",
    "Scott",
    "Łukaszewski",
    "Nguyen",
    "Hill",
    "Flores",
    "Featherstonehaugh-Cholmondeley",
];

const STREETS: [&str; 16] = [
    "Main St",
    "Oak Avenue",
    "2nd St NW",
    "Maple Dr",
    "Washington Blvd",
    "Elm Street",
    "County Road 512",
    "Martin Luther King Jr Pkwy",
    "Cedar Ln",
    "E 42nd St",
    "Lakeview Ter",
    "W Sunset Blvd",
    "Hwy 101 N",
    "Old Mill Rd",
    "Peachtree St NE",
    "Camino del Río S",
];

const UNITS: [&str; 8] = [
    "Apt 4B",
    "Unit 12",
    "# 301",
    "Suite 200",
    "Bldg C, Apt 1107",
    "Lot 9",
    "Floor 2 <rear door>",
    "c/o Front Desk",
];

const COMPANIES: [&str; 10] = [
    "Acme & Sons LLC",
    "Northwind Traders",
    "Müller GmbH",
    "Blue Heron \"B&B\"",
    "St. Mary's School",
    "R&D Lab <3>",
    "Contoso Ltd.",
    "Tri-County Fire Protection District No. 7",
    "Café Olé",
    "Wide World Importers",
];

/// The person with this number in the world of `seed`. About six in a hundred live abroad.
pub fn person(seed: u64, number: u64) -> Person {
    let mut draw = Draw::new(seed, "person", number);
    let first_name = draw.word(&FIRST).to_owned();
    let last_name = draw.word(&LAST).to_owned();
    let company = if draw.percent(9) { draw.word(&COMPANIES).to_owned() } else { String::new() };
    let street_2 = if draw.percent(30) { draw.word(&UNITS).to_owned() } else { String::new() };
    let house = draw.between(1, 19_999);
    let line = draw.between(100, 199);
    let email = format!("{}{}@example.com", ascii_word(&first_name), number);
    let relay_email = format!("{}@marketplace.amazon.com", draw.code(15).to_lowercase());
    let mut person = Person {
        first_name,
        last_name,
        company,
        street_1: String::new(),
        street_2,
        city: String::new(),
        state: String::new(),
        state_name: String::new(),
        zip: String::new(),
        country_code: "US",
        country: "United States",
        phone: format!("+1 415-555-0{line} ext. {}", draw.digits(5)),
        email,
        relay_email,
    };
    if draw.percent(6) {
        settle_abroad(&mut person, &mut draw, house);
    } else {
        settle_in_the_us(&mut person, &mut draw, house);
    }
    person
}

fn settle_in_the_us(person: &mut Person, draw: &mut Draw, house: i64) {
    let (city, state, state_name, prefix) =
        draw.pick(&PLACES).copied().unwrap_or(("Portland", "OR", "Oregon", "972"));
    person.street_1 = format!("{house} {}", draw.word(&STREETS));
    person.city = city.to_owned();
    person.state = state.to_owned();
    person.state_name = state_name.to_owned();
    person.zip = format!("{prefix}{:02}", draw.below(100));
    if draw.percent(25) {
        person.zip = format!("{}-{:04}", person.zip, draw.below(10_000));
    }
}

fn settle_abroad(person: &mut Person, draw: &mut Draw, house: i64) {
    let Some((street, city, state, state_name, zip, country_code, country)) = draw.pick(&ABROAD).copied()
    else {
        return;
    };
    person.street_1 = format!("{street} {house}");
    person.city = city.to_owned();
    person.state = state.to_owned();
    person.state_name = state_name.to_owned();
    person.zip = zip.to_owned();
    person.country_code = country_code;
    person.country = country;
}

fn ascii_word(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()
}
